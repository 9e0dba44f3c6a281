"""The exporter as a program: a file, and a server that is scraped."""

import http.client
import os
import threading

import fixtures

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.wsgi import authentication
from tests.fixtures import memory_dir, prometheus
from tests.fixtures.assessed_guest import HOST, AssessedGuest
from tests.unit.cmd.base import CommandTest


class ExporterTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.client = prometheus.client()
        place = memory_dir.place()
        self.root = self.useFixture(fixtures.TempDir(place)).path
        HOST.write(self.root)
        AssessedGuest('one', drive={'aio': 'threads'}).write(self.root)

    def exporter(self, *argv):
        return self.run_command('exporter', '--root', self.root, *argv)

    def test_a_file(self):
        path = os.path.join(self.folder, 'x.prom')
        flavor = self.flavor(4, **{'hw:cpu_policy': 'dedicated'})
        found = self.exporter('--textfile', path, '--flavor', flavor)
        self.assertEqual((0, ''), (found.status, found.stderr))
        with open(path) as file:
            text = file.read()
        self.assertIn('code="disk-engine"', text)
        self.assertIn('kvm_tuning_capacity_guests{flavor="f"}', text)
        # Replaced as a whole.
        self.assertEqual(['flavor.json', 'x.prom'],
                         sorted(os.listdir(self.folder)))  # fmt: skip

    def test_wrong_usage(self):
        for argv, status, said in (
            (('--textfile', '/nowhere/x.prom'), 3, '/nowhere/x.prom'),
            (('--listen', '127.0.0.1:nine'), 3, '127.0.0.1:nine'),
            (('--promises', '-1'), 2, "'-1'"),
            (('--listen', '127.0.0.1:0', '--textfile', 'x'), 2, 'not allowed'),
            (('--flavor', '/nowhere'), 2, '/nowhere'),
        ):
            found = self.exporter(*argv)
            self.assertEqual(status, found.status, argv)
            self.assertIn(said, found.stderr)

    def test_a_library_that_is_missing(self):
        error = self.assertRaises(
            ConfigInvalid,
            authentication.require, 'no_such_library', 'it', 'pip install it',
        )  # fmt: skip
        self.assertIn('pip install it', str(error))

    def test_a_scrape(self):
        class Families:
            """A collector without a host."""

            def describe(self):
                return ()

            def collect(self):
                return ()

        # What waitress says of a client that has gone when it closes.
        self.useFixture(fixtures.FakeLogger())
        made = self.client.CollectorRegistry()
        made.register(Families())
        server = prometheus.server().server(made, '127.0.0.1:0')
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            client = http.client.HTTPConnection(
                '127.0.0.1', server.effective_port, timeout=60
            )
            client.request('GET', '/metrics')
            answer = client.getresponse()
            self.assertEqual(200, answer.status)
            self.assertIn('text/plain', answer.headers['Content-Type'])
            answer.read()
            client.close()
        finally:
            server.close()
            thread.join(60)
