"""The page about vendordata, command by command, on a clean machine."""

import json
import shutil
import socket
import time

import testtools
from testtools.matchers import Contains, LessThan, StartsWith

from tests.cloud_init.base import TOP, folder
from tests.cloud_init.documented import Clean, commands
from tests.cloud_init.fake_cloud import FakeCloud
from tests.cloud_init.test_service import SERVER, server

PAGE = TOP / 'doc/source/admin/vendordata.rst'
SAMPLES = TOP / 'etc/kvm_tuning/vendordata'


class VendordataPageTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        (wheel,) = folder('wheel').glob('kvm_tuning-*.whl')
        self.cloud = self.useFixture(
            FakeCloud({SERVER: server({'kvm:guest_tuning': 'true'})})
        )
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        # It takes connections, and never answers.
        hung = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(hung.close)
        self.clean = self.useFixture(
            Clean(
                {
                    'kvm-tuning[': f'{wheel}[',
                    '/etc/nova/': '',
                    'UUID': SERVER,
                    ':8089': f':{port}',
                    '[vendordata]\n': (
                        f'[vendordata]\nlisten = 127.0.0.1:{port}\n'
                    ),
                    'controller:11211': f'127.0.0.1:{hung.getsockname()[1]}',
                    'http://controller:5000': self.cloud.url,
                },
                {
                    'TOKEN': 'nova-token',
                    'KVM_TUNING_VENDORDATA_CONF': 'vendordata.conf',
                    'OS_CLIENT_CONFIG_FILE': 'clouds.yaml',
                },
            )
        )
        for sample in SAMPLES.iterdir():
            text = self.clean.text(sample.read_text())
            (self.clean.home / sample.name).write_text(text)

    def test_every_command(self):
        if shutil.which('curl') is None:
            self.skipTest('curl is not installed')
        static, install, serve, ask = commands(PAGE)
        status, _said, error = self.clean.run(install)
        self.assertEqual(0, status, error)
        status, _said, error = self.clean.run(static)
        self.assertEqual(0, status, error)
        found = json.loads((self.clean.home / 'vendordata.json').read_text())
        self.assertThat(found['cloud-init'], StartsWith('#cloud-boothook'))

        self.serve(serve)
        for _each in range(2):
            begun = time.monotonic()
            status, said, error = self.clean.run(ask)
            self.assertEqual(0, status, error or self.log())
            self.assertThat(json.loads(said), StartsWith('#cloud-boothook'))
            # memcached hangs.
            self.assertThat(time.monotonic() - begun, LessThan(3))

        # Without what the extra brings, it ends at its start.
        for process in self.clean.background:
            process.terminate()
            process.wait(20)
        status, _said, error = self.clean.run(
            'pip -q uninstall -y python-memcached'
        )
        self.assertEqual(0, status, error)
        process = self.clean.start(serve, 'log')
        self.assertNotEqual(0, process.wait(120))
        self.assertThat(self.log(), Contains('pip install kvm-tuning['))

    def serve(self, command):
        process = self.clean.start(command, 'log')
        end = time.monotonic() + 120
        while 'listening on' not in self.log():
            self.assertThat(time.monotonic(), LessThan(end), self.log())
            self.assertIsNone(process.poll(), self.log())
            time.sleep(0.1)

    def log(self):
        return (self.clean.home / 'log').read_text()
