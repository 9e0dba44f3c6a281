"""``host capacity``: how many guests fit, and what keeps the next one out."""

import json
import os

import fixtures

from tests.fixtures import memory_dir
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.unit.cmd.base import CommandTest

#: Two cells of two L3 domains of four cores of two threads.
HOST = FakeHost(
    cells=2, l3_per_cell=2, cores=4, threads=2, huge_pages={2048: (512, 256)},
    pfs=(FakePf('eth0', 0, vfs=2), FakePf('eth1', 1, vfs=1)),
)  # fmt: skip
DEDICATED = {'hw:cpu_policy': 'dedicated'}
L3 = {
    **DEDICATED, 'kvm:cpu_locality': 'l3', 'kvm:cpu_locality_policy': 'strict',
}  # fmt: skip
LIVE = """\
<domain type='kvm'><name>a</name><uuid>8a</uuid><vcpu>8</vcpu>
<memory unit='MiB'>64</memory><cputune>{pins}</cputune></domain>
"""


class HostCapacityTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.root = self.host(HOST)

    def host(self, host):
        place = memory_dir.place()
        root = self.useFixture(fixtures.TempDir(place)).path
        host.write(root)
        return root

    def named(self, name, vcpus, ram=64, **specs):
        text = {
            'name': name, 'id': name, 'vcpus': vcpus, 'ram': ram, 'disk': 1,
            'properties': specs,
        }  # fmt: skip
        return self.write(f'{name}.json', json.dumps(text))

    def capacity(self, *argv):
        return self.run_command('host', 'capacity', '--root', self.root, *argv)

    def count(self, *argv):
        """Return the number and what limits it, of the only flavor."""
        found = self.capacity('-f', 'json', *argv)
        self.assertEqual(0, found.status, found.stderr)
        (flavor,) = found.document['flavors']
        return flavor['guests'], flavor['limits']

    def test_pcpus(self):
        for vcpus, guests in ((4, 8), (16, 2), (1, 32)):
            flavor = self.named('f', vcpus, **DEDICATED)
            self.assertEqual(
                (guests, ['pCPUs']), self.count('--flavor', flavor), vcpus
            )

    def test_an_l3_domain(self):
        # Three pCPUs stay in each of four domains, six in each cell; then two
        # and four.
        for vcpus, lacks in ((5, 'an L3 domain'), (6, 'pCPUs')):
            flavor = self.named('f', vcpus, **L3)
            self.assertEqual((4, [lacks]), self.count('--flavor', flavor))

    def test_pages(self):
        flavor = self.named(
            'f', 1, ram=256, **DEDICATED, **{'hw:mem_page_size': '2048'}
        )
        self.assertEqual((6, ['pages']), self.count('--flavor', flavor))

    def test_memory(self):
        flavor = self.named('f', 1, ram=10240, **DEDICATED)
        self.assertEqual((2, ['memory']), self.count('--flavor', flavor))

    def test_vfs(self):
        flavor = self.named('f', 1, **DEDICATED, **{'kvm:vfs': '1'})
        self.assertEqual((3, ['VFs']), self.count('--flavor', flavor))

    def test_several_things_at_once(self):
        flavor = self.named('f', 32, ram=40960, **DEDICATED)
        self.assertEqual((0, []), self.count('--flavor', flavor))

    def test_a_guest_that_holds_nothing(self):
        found = self.capacity('--flavor', self.named('plain', 2))
        self.assertRegex(
            found.stdout, r'plain +any number +nothing that it holds'
        )

    def test_what_the_host_cannot_do(self):
        self.root = self.host(FakeHost(threads=1))
        flavor = self.named(
            'f', 2, **DEDICATED, **{'hw:cpu_thread_policy': 'require'}
        )
        found = self.capacity('--flavor', flavor)
        self.assertEqual(0, found.status)
        self.assertRegex(found.stdout, r'f +0 +what this host is')
        self.assertIn('no thread siblings', found.stdout)

    def test_several_flavors_are_counted_alone(self):
        small = self.named('small', 4, **DEDICATED)
        large = self.named('large', 16, **DEDICATED)
        found = self.capacity('-f', 'json', '--flavor', small, large)
        self.assertEqual(
            [('small', 8), ('large', 2)],
            [(f['flavor'], f['guests']) for f in found.document['flavors']],
        )
        again = self.capacity(
            '-f', 'json', '--flavor', small, '--flavor', large
        )
        self.assertEqual(found.document, again.document)

    def test_what_is_free(self):
        flavor = self.named('f', 4, **DEDICATED)
        argv = ('-f', 'json', '--flavor', flavor)
        first, second = self.capacity(*argv).document['cells']
        self.assertEqual([*range(8), *range(16, 24)], first['pcpus'])
        self.assertEqual(
            (True, 2, 2, {'2048': 512}, 2),
            (first['whole'], first['whole_l3_domains'], first['l3_domains'],
             first['pages'], first['vfs']),
        )  # fmt: skip
        self.assertEqual(1, second['vfs'])
        first, second = self.capacity(*argv, '--taken', '0').document['cells']
        self.assertEqual((False, 1), (first['whole'],
                                      first['whole_l3_domains']))  # fmt: skip
        self.assertTrue(second['whole'])

    def test_guests_that_are_there(self):
        pins = ''.join(f"<vcpupin vcpu='{n}' cpuset='{n}'/>" for n in range(8))
        folder = os.path.join(self.folder, 'xml')
        os.mkdir(folder)
        with open(os.path.join(folder, 'a.xml'), 'w') as file:
            file.write(LIVE.format(pins=pins))
        flavor = self.named('f', 4, **DEDICATED)
        self.assertEqual(
            (6, ['pCPUs']), self.count('--flavor', flavor, '--domains', folder)
        )
        for argv, unknown in (((), True), (('--domains', folder), False)):
            found = self.capacity('--flavor', flavor, *argv)
            # In the lines of a terminal.
            words = ' '.join(found.stdout.split())
            self.assertEqual(unknown, 'which guests it has' in words)
        self.assertEqual(
            (4, ['pCPUs']),
            self.count(
                '--flavor', flavor, '--domains', folder, '--dedicated-cpus',
                '0-7,16-31',
            ),
        )  # fmt: skip

    def test_wrong_usage(self):
        flavor = self.named('f', 4, **DEDICATED)
        for argv, said in (
            ((), '--flavor'),
            (('--flavor', '/nowhere'), '/nowhere'),
            (('--flavor', flavor, '--taken', '999'), '999'),
            (('--flavor', flavor, '--dedicated-cpus', 'x'), 'x'),
        ):
            found = self.capacity(*argv)
            self.assertEqual(2, found.status, argv)
            self.assertIn(said, found.stderr)

    def test_a_flavor_that_is_wrong(self):
        flavor = self.named('f', 4, **{'hw:cpu_policy': 'often'})
        found = self.capacity('--flavor', flavor)
        self.assertEqual(1, found.status)
        self.assertIn('hw:cpu_policy=often', found.stderr)
