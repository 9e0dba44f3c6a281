"""The vendordata service behind its own server, keystone and Nova's API."""

import importlib.util
import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import threading
import time

import fixtures
import testtools
from testtools.matchers import Contains, LessThan, StartsWith

from tests.cloud_init.fake_cloud import FakeCloud
from tests.unit.adapters.vendordata.test_servers import server

SERVER = '6c5ed1bd-a3f8-4a4e-b8c5-a1b2c3d4e5f6'
BODY = json.dumps(
    {'instance-id': SERVER, 'project-id': 'p', 'hostname': 'h',
     'user-data': 'x' * 65536, 'metadata': {}, 'boot-roles': 'member'}
)  # fmt: skip

_SAMPLE = Path(__file__).parents[2] / 'etc/kvm_tuning/vendordata'
_CONF = """
[vendordata]
listen = 127.0.0.1:{port}
deadline = 4
call_timeout = 2
body_timeout = 2
[keystone_authtoken]
auth_url = {url}
www_authenticate_uri = {url}
auth_type = password
username = u
password = p
project_name = p
user_domain_name = Default
project_domain_name = Default
http_connect_timeout = 2
http_request_max_retries = 0
"""


class ServiceTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for name in ('waitress', 'keystonemiddleware', 'openstack'):
            if importlib.util.find_spec(name) is None:
                self.skipTest(f'{name} is not installed')
        asked = {'kvm:guest_tuning': 'true', 'kvm:vif_queues': '3'}
        self.cloud = self.useFixture(FakeCloud({SERVER: server(asked)}))
        self.home = Path(self.useFixture(fixtures.TempDir()).path)
        self.serve()

    def serve(self):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        conf = self.home / 'vendordata.conf'
        conf.write_text(_CONF.format(url=self.cloud.url, port=self.port))
        log = (self.home / 'log').open('w')
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [sys.executable, '-m', 'kvm_tuning.wsgi.serve'],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                'PATH': os.environ['PATH'],
                'PYTHONPATH': os.pathsep.join(filter(None, sys.path)),
                'HOME': str(self.home),
                'KVM_TUNING_VENDORDATA_CONF': str(conf),
                'OS_AUTH_URL': self.cloud.url,
                'OS_USERNAME': 'u',
                'OS_PASSWORD': 'p',
                'OS_PROJECT_NAME': 'p',
                'OS_USER_DOMAIN_NAME': 'Default',
                'OS_PROJECT_DOMAIN_NAME': 'Default',
            },
        )  # fmt: skip
        self.addCleanup(process.wait, 20)
        self.addCleanup(os.killpg, process.pid, signal.SIGTERM)
        self.addOnException(
            lambda _info: self.addDetail(
                'log', testtools.content.text_content(self.log())
            )
        )
        end = time.monotonic() + 120
        while 'listening on' not in self.log():
            self.assertThat(time.monotonic(), LessThan(end))
            self.assertIsNone(process.poll())
            time.sleep(0.1)

    def post(self, body=BODY, token='nova-token', length=None, timeout=20):
        """Return the status and the document of an answer, by a socket: what
        is tested are clients that do not behave.
        """
        begun = time.monotonic()
        with socket.create_connection(
            ('127.0.0.1', self.port), timeout
        ) as client:
            header = f'X-Auth-Token: {token}\r\n' if token else ''
            length = len(body.encode()) if length is None else length
            client.sendall(
                f'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}'
                f'Content-Type: application/json\r\n'
                f'Content-Length: {length}\r\n\r\n'.encode()
            )
            if callable(body):
                body(client)
            elif body:
                client.sendall(body.encode())
            found = b''
            while piece := client.recv(65536):
                found += piece
        self.seconds = time.monotonic() - begun
        head, _, text = found.partition(b'\r\n\r\n')
        status = int(head.split()[1]) if head else 0
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def log(self):
        return (self.home / 'log').read_text()

    def test_who_asks_and_what(self):
        status, answer = self.post()
        self.assertEqual(200, status)
        self.assertThat(answer, StartsWith('#cloud-boothook\n'))
        self.assertThat(answer, Contains("told='fa:16:3e:00:00:01=3'"))
        other = json.dumps({'instance-id': SERVER[:-1] + '0'})
        for wanted, given in (
            (401, {'token': None}),
            (401, {'token': 'wrong'}),
            (403, {'token': 'tenant-token'}),
            (404, {'body': other}),
            (400, {'body': '{'}),
            (400, {'body': '{}'}),
            (400, {'body': '[' * 100_000}),
            (413, {'body': '', 'length': 10 << 30}),
            (413, {'body': '', 'length': 262145}),
        ):
            self.assertEqual(wanted, self.post(**given)[0], given)
            self.assertThat(self.seconds, LessThan(5))

    def test_a_body_that_does_not_come(self):
        def drip(client):
            """One byte at a time, for longer than is waited for."""
            try:
                for _ in range(100):
                    client.sendall(b' ')
                    time.sleep(0.1)
            except OSError:
                pass

        results = []

        def ask():
            try:
                results.append(self.post(drip, length=1000)[0])
            except OSError:
                results.append(0)

        # More than there are threads for.
        slow = [threading.Thread(target=ask) for _ in range(24)]
        for each in slow:
            each.start()
        time.sleep(0.5)
        self.assertEqual(200, self.post()[0])
        self.assertThat(self.seconds, LessThan(3))
        for each in slow:
            each.join(30)
        self.assertEqual(24, len(results))
        self.assertEqual(set(), set(results) - {408, 0})

    def test_nova_hangs(self):
        self.assertEqual(200, self.post()[0])
        self.cloud.delay = 10
        self.assertEqual((200, {}), self.post())
        self.assertThat(self.seconds, LessThan(6))
        self.assertThat(self.log(), Contains(f'{SERVER} gets no vendordata'))
        self.cloud.delay = 0
        self.assertThat(self.post()[1], StartsWith('#cloud-boothook'))

    def test_nova_fails(self):
        self.cloud.status = 503
        self.assertEqual((200, {}), self.post())
        self.assertThat(self.log(), Contains('GET /servers/'))
