"""igb's max_vfs: which igb, one number or a list, and who counts last."""

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Is

from kvm_tuning.host import ready
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Goal, Note, Refusal
from kvm_tuning.host.prep.groups.sriov import max_vfs
from kvm_tuning.host.prep.groups.sriov import ports as sriov
from kvm_tuning.host.prep.kinds import modprobe
from tests.fixtures import fake_cards, killed, prepared
from tests.fixtures.fake_cards import I210, I350, PATH
from tests.fixtures.fake_host import FakePf

_CONFIGURATION = '[sriov]\nvfs = driver:igb=7\nmethod = max_vfs'
_TWO = (FakePf('eth0', **I350), FakePf('eth1', **I350))


class MaxVfsTest(testtools.TestCase):
    ports = _TWO

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = fake_cards.build(self.root, *self.ports)

    def items(self, vfs, reload=False):
        state = sriov.read(Host(Tree(self.root)))
        wanted = sriov.Wanted(vfs, 'max_vfs', reload)
        return list(sriov.plan(wanted, state))

    def option(self, items):
        found = [
            i
            for i in items
            if isinstance(i, Goal) and i.setting.kind == 'module-parameter'
        ]
        return found[0] if found else None

    def refusal(self, items):
        return ' '.join(str(i) for i in items if isinstance(i, Refusal))


class TestInTree(MaxVfsTest):
    def test_option_and_count_are_of_one_mind(self):
        before = prepared.snapshot(self.root)
        prepared.apply(self.kernel, self.items({'driver:igb': 7}))
        self.assertThat(
            self.kernel.get(modprobe.OPTIONS).splitlines()[-1],
            Equals('options igb max_vfs=7'),
        )
        self.assertThat(self.kernel.get(PATH), Equals('7'))
        self.kernel.log.clear()
        prepared.apply(self.kernel, self.items({'driver:igb': 7}))
        self.assertThat(self.kernel.log, Equals([]))
        prepared.take_back(self.kernel)
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_the_running_parameter_takes_a_reload(self):
        self.kernel.put('sys/module/igb/parameters/max_vfs', 0)
        goal = self.option(self.items({'driver:igb': 7}))
        self.assertThat(goal.running_value, Equals('0'))
        self.assertThat(goal.in_force, Is(False))
        self.assertThat(goal.when.value, Contains('reloaded'))

    def test_ports_with_their_number_are_as_good(self):
        self.kernel.put('sys/module/igb/parameters/max_vfs', 0)
        prepared.apply(self.kernel, self.items({'driver:igb': 7}))
        goal = self.option(self.items({'driver:igb': 7}))
        self.assertThat((goal.reached, goal.in_force), Equals((True, True)))
        self.kernel.put('etc/kvm-tuning/kvm-tuning.conf', _CONFIGURATION)
        self.assertThat(ready.check(self.root), Equals(()))

    def test_one_number_for_all_ports(self):
        items = self.items({'eth0': 7, 'eth1': 3})
        self.assertThat(self.refusal(items), Contains('one number for all'))
        items = self.items({'eth0': 7})
        self.assertThat(self.refusal(items), Contains('0000:12:00.0'))

    def test_others_lines(self):
        self.kernel.put(
            'etc/modprobe.d/igb.conf', 'options igb max_vfs=2 debug=1'
        )
        items = self.items({'driver:igb': 7})
        notes = ' '.join(str(i) for i in items if isinstance(i, Note))
        self.assertThat(notes, Contains('/etc/modprobe.d/igb.conf'))
        self.kernel.put('etc/modprobe.d/zz.conf', 'options igb max_vfs=3')
        items = self.items({'driver:igb': 7})
        self.assertThat(self.refusal(items), Contains('overrides'))

    def test_a_hidden_file_does_not_count(self):
        self.kernel.put('usr/lib/modprobe.d/zz.conf', 'options igb max_vfs=3')
        self.kernel.put('etc/modprobe.d/zz.conf', '# nothing')
        self.assertThat(
            modprobe.foreign(Tree(self.root), 'igb.max_vfs'), Equals([])
        )

    def test_reload_takes_the_ports_traffic_into_account(self):
        fake_cards.route(self.kernel, 'eth1')
        items = self.items({'driver:igb': 7}, reload=True)
        plan = prepared.plan(self.kernel, items)
        self.assertThat(str(plan.refusals), Contains('default route'))
        self.assertThat(
            str([c.route.interrupts for c in plan.changes]),
            Contains('eth0, eth1 disappear'),
        )

    def test_a_reload_is_refused_where_others_build_on_a_port(self):
        fake_cards.put_above(self.kernel, 'eth1', 'br0')
        items = self.items({'driver:igb': 7}, reload=True)
        refusals = str(prepared.plan(self.kernel, items).refusals)
        self.assertThat(refusals, Contains('would lose it: br0'))

    def test_a_reload_is_refused_where_others_own_a_port(self):
        self.kernel.put(
            'etc/systemd/network/10-a.link',
            '[Match]\nDriver=igb\n[Link]\nSR-IOVVirtualFunctions=4',
        )
        items = self.items({'driver:igb': 7}, reload=True)
        plan = prepared.plan(self.kernel, items)
        (reload,) = (
            change
            for change in plan.changes
            if change.goal.setting.kind == 'running-parameter'
        )
        self.assertThat(str(reload.route.refusals), Contains('systemd-udevd'))


class TestMixedCounts(MaxVfsTest):
    ports = (FakePf('eth0', **I350, vfs=2), FakePf('eth1', **I350))

    def test_each_port_by_sysfs(self):
        items = self.items({'driver:igb': 7}, reload=True)
        kinds = {i.setting.kind for i in items if isinstance(i, Goal)}
        self.assertThat(kinds, Equals({'module-parameter', 'sysfs'}))


class TestNoPort(MaxVfsTest):
    ports = (FakePf('eth0', **{**I350, 'total_vfs': 0}),)

    def test_none_that_is_able(self):
        items = self.items({'eth0': 7}, reload=True)
        self.assertThat(self.refusal(items), Contains('eth0'))
        self.assertThat(self.option(items), Is(None))


class TestOutOfTree(MaxVfsTest):
    ports = (*_TWO, FakePf('eth2', **I210))

    def test_taint_tells(self):
        self.kernel.put('sys/module/igb/taint', 'OE')
        goal = self.option(self.items({'eth0': 7, 'eth1': 3}))
        self.assertThat(goal.setting.value, Equals('7,3,0'))

    def test_a_module_where_others_put_theirs(self):
        self.kernel.put('lib/modules/6.12.0/updates/dkms/igb.ko.zst', '')
        driver = max_vfs.read(Host(Tree(self.root)), 'igb')
        self.assertThat(driver.out_of_tree, Is(True))

    def test_without_both_it_is_the_kernels(self):
        driver = max_vfs.read(Host(Tree(self.root)), 'igb')
        self.assertThat(driver.out_of_tree, Is(False))
        # The I210 is igb's, too, and has no VFs: one number is fine.
        goal = self.option(self.items({'eth0': 7, 'eth1': 7}))
        self.assertThat(goal.setting.value, Equals('7'))


class TestOtherDrivers(MaxVfsTest):
    ports = (FakePf('eth0', **fake_cards.X520),)

    def test_ixgbe_has_no_such_parameter_any_more(self):
        items = self.items({'eth0': 7})
        self.assertThat(self.refusal(items), Contains('only igb has'))
