import testtools

from tests.fixtures import host_dumps
from tests.unit.cmd.base import CommandTest


class HostTest(CommandTest):
    def test_topology(self):
        root = self.host()
        done = self.run_command('host', 'topology', '--root', root)
        self.assertEqual(0, done.status)
        for part in ('L3 domains', 'Sockets', 'NUMA cells', 'SMT on'):
            self.assertIn(part, done.stdout)

    def test_topology_as_documents(self):
        root = self.host()
        done = self.run_command(
            'host', 'topology', '--root', root, '-f', 'json'
        )
        self.assertEqual(32, len(done.document['cpus']))
        self.assertEqual(4, len(done.document['l3']))
        done = self.run_command(
            'host', 'topology', '--root', root, '-f', 'yaml'
        )
        self.assertIn('smt: true', done.stdout)

    def test_topology_as_values(self):
        done = self.run_command(
            'host', 'topology', '--root', self.host(), '-f', 'value',
            '-c', 'processor', '-c', 'cell',
        )  # fmt: skip
        self.assertEqual('0 0', done.stdout.splitlines()[0])
        self.assertEqual(32, len(done.stdout.splitlines()))

    def test_devices(self):
        root = self.host()
        done = self.run_command(
            'host', 'devices', '--root', root, '-f', 'json'
        )
        vfs = [d for d in done.document['devices'] if d['pf']]
        self.assertEqual(2, len(vfs))
        tree = self.run_command('host', 'devices', '--root', root, '--tree')
        self.assertIn('eth0', tree.stdout)
        table = self.run_command('host', 'devices', '--root', root)
        self.assertIn('Network interfaces', table.stdout)

    def test_no_root(self):
        done = self.run_command('host', 'topology', '--root', '/no/such')
        self.assertEqual((2, ''), (done.status, done.stdout))

    def test_an_empty_root(self):
        done = self.run_command('host', 'topology', '--root', self.folder)
        self.assertEqual(3, done.status)
        self.assertIn('InventoryUnreadable', done.stderr)


@testtools.skipUnless(host_dumps.available(), 'no dumps of real machines')
class DumpsTest(CommandTest):
    def test_topology_is_what_hwloc_says(self):
        # The readers' tests take all of them.
        for name in ('20em64t-hybrid-1p6c2t+2ca4co1t', '2i386-2c-nohugepage'):
            dump = self.useFixture(host_dumps.HostDump(name))
            done = self.run_command(
                'host', 'topology', '--root', dump.root, '-f', 'json'
            )
            self.assertEqual(
                dump.expected,
                {key: done.document[key] for key in dump.expected},
            )
