"""What the tests of all commands share."""

import json
import os

import fixtures
import testtools

from tests.fixtures import domain_store, memory_dir
from tests.fixtures.command import Command
from tests.fixtures.fake_host import FakeHost, FakePf

HOST = FakeHost(
    cells=2, l3_per_cell=2, cores=4, threads=2, pfs=(FakePf('eth0', vfs=2),)
)


class CommandTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.command = self.useFixture(Command())

    def run_command(self, *argv):
        return self.command.run(*argv)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.write(
                content if isinstance(content, bytes) else content.encode()
            )
        return path

    def flavor(self, vcpus=4, **specs):
        return self.write(
            'flavor.json',
            json.dumps(
                {
                    'name': 'f',
                    'id': '1',
                    'vcpus': vcpus,
                    'ram': 1024,
                    'disk': 1,
                    'properties': specs,
                }
            ),
        )

    def domain(self, vcpus=4):
        text = domain_store.xml('g', vcpus, 1024)
        return self.write('domain.xml', text)

    def host(self):
        root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        HOST.write(root)
        return root
