"""Clients that are slow do not keep honest ones waiting."""

import contextlib
import http.client
import importlib.util
import json
import socket
import threading
import time

import fixtures
import testtools
from testtools.matchers import LessThan

from kvm_tuning.conf import vendordata as options
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.wsgi import serve
from kvm_tuning.wsgi.application import Application

SERVER = '6c5ed1bd-a3f8-4a4e-b8c5-a1b2c3d4e5f6'
SLOW = 200
HALF_HEADER = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Le'
HALF_BODY = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"inst'


class ServeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        if importlib.util.find_spec('waitress') is None:
            self.skipTest('waitress is not installed')
        self.folder = self.useFixture(fixtures.TempDir()).path
        # What waitress says of clients that have gone.
        self.useFixture(fixtures.FakeLogger())

    def group(self, **values):
        path = f'{self.folder}/v.conf'
        with open(path, 'w') as file:
            file.write('[vendordata]\n')
            file.writelines(f'{k} = {v}\n' for k, v in values.items())
        return options.load([path])[options.GROUP]

    def serve(self, address='127.0.0.1', **values):
        application = Application(
            lambda server: () if server == SERVER else None, None, 1024, 5.0
        )
        server = serve.server(
            application, self.group(listen=f'{address}:0', **values)
        )
        self.port = int(server.effective_port)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        self.addCleanup(server.close)
        self.address = address

    def ask(self):
        """Return the status and the seconds of an honest request."""
        start = time.monotonic()
        client = http.client.HTTPConnection(
            self.address, self.port, timeout=30
        )
        with contextlib.closing(client):
            client.request('POST', '/', json.dumps({'instance-id': SERVER}))
            answer = client.getresponse()
            self.assertEqual({}, json.loads(answer.read()))
        return answer.status, time.monotonic() - start

    def slow(self, start, count=SLOW):
        found = []
        for _number in range(count):
            client = socket.create_connection((self.address, self.port), 10)
            self.addCleanup(client.close)
            client.sendall(start)
            found.append(client)
        return found

    def test_slow_connections_delay_nobody(self):
        self.serve(body_timeout=30, threads=4)
        for start in (b'', HALF_HEADER, HALF_BODY):
            self.slow(start)
            # A busy machine delays anybody: the best of some counts.
            answers = [self.ask() for _time in range(3)]
            self.assertEqual({200}, {status for status, _s in answers})
            best = min(seconds for _status, seconds in answers)
            self.assertThat(best, LessThan(1.0), start)

    def test_a_byte_now_and_then_delays_nobody(self):
        self.serve(body_timeout=30, threads=4)
        slow = self.slow(HALF_BODY)
        best = []
        for _time in range(3):
            for client in slow:
                client.send(b'x')
            best.append(self.ask()[1])
        self.assertThat(min(best), LessThan(1.0))

    def test_another_address(self):
        self.serve(address='127.0.0.2', body_timeout=30, threads=2)
        self.slow(HALF_HEADER)
        self.assertThat(self.ask()[1], LessThan(1.0))

    def test_who_sends_nothing_is_hung_up_on(self):
        self.serve(body_timeout=1)
        (client,) = self.slow(b'', count=1)
        client.settimeout(10)
        self.assertEqual(b'', client.recv(1))

    def test_a_body_that_nobody_wants(self):
        self.serve()
        with socket.create_connection((self.address, self.port), 10) as client:
            client.sendall(
                b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n'
                b'\r\n'
            )
            self.assertIn(b' 413 ', client.recv(4096))

    def test_an_address_that_is_none(self):
        for listen in ('127.0.0.1:http:1', '192.0.2.1:80'):
            error = self.assertRaises(
                ConfigInvalid, serve.server, None, self.group(listen=listen)
            )
            self.assertIn(f'[vendordata] listen = {listen}', str(error))

    def test_a_configuration_that_is_none(self):
        stderr = self.useFixture(fixtures.StringStream('stderr')).stream
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', stderr))
        self.assertEqual(3, serve.main(['--config-file', '/none']))
