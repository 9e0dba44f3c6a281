"""VFs: cards, limits, who is in the way, and what the kernel answers."""

import errno
import os
import shutil

import fixtures
import testtools
from testtools.matchers import (
    Contains,
    Equals,
    HasLength,
    MatchesRegex,
    Not,
)

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal, status
from kvm_tuning.host.prep.goals import Goal, Refusal, Terms
from kvm_tuning.host.prep.groups.sriov import ports as sriov
from kvm_tuning.host.prep.groups.sriov import route
from kvm_tuning.host.prep.kinds import table
from tests.fixtures import fake_cards, killed, prepared
from tests.fixtures.fake_cards import ADDRESS, I350, I82576, PATH
from tests.fixtures.fake_host import FakePf
from tests.fixtures.fake_kernel import FakeKernel


class SriovTest(testtools.TestCase):
    def build(self, *ports, release='6.12.0'):
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        ports = ports or (FakePf('eth0', **I350),)
        self.kernel = fake_cards.build(self.root, *ports, release=release)

    def items(self, **wanted):
        state = sriov.read(Host(Tree(self.root)))
        return list(sriov.plan(sriov.Wanted(**wanted), state))

    def plan(self, terms=Terms(), **wanted):  # noqa: B008
        return prepared.plan(self.kernel, self.items(**wanted), terms)

    def apply(self, terms=Terms(), **wanted):  # noqa: B008
        return prepared.apply(self.kernel, self.items(**wanted), terms)

    def refusals(self, terms=Terms(), **wanted):  # noqa: B008
        return [str(r) for r in self.plan(terms, **wanted).refusals]

    def rows(self, **wanted):
        host = Host(Tree(self.root))
        record = journal.load(host.tree)
        return status.rows(host, table.KINDS, record, self.items(**wanted))

    def count(self):
        return self.kernel.get(PATH)


class TestCards(SriovTest):
    def test_i350(self):
        self.build()
        done = self.apply(vfs={'eth0': 7})
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.count(), Equals('7'))
        plan = self.plan(vfs={'eth0': 6})
        text = ' '.join(plan.changes[0].route.interrupts)
        self.assertThat(text, Contains('one queue (no RSS)'))
        self.assertThat(text, Contains('not support a rate limit'))
        self.assertThat(text, Contains('link of eth0 goes down'))

    def test_seven_at_most(self):
        self.build(FakePf('eth0', **{**I350, 'total_vfs': 8}))
        self.assertThat(
            self.refusals(vfs={'eth0': 8}),
            Equals(['[sriov] eth0: Intel I350 has at most 7 VFs, not 8']),
        )

    def test_sixty_three_at_most(self):
        self.build(FakePf('eth0', **{**fake_cards.X520, 'total_vfs': 64}))
        (text,) = self.refusals(vfs={'eth0': 64})
        self.assertThat(text, Contains('at most 63 VFs'))
        self.assertThat(self.refusals(vfs={'eth0': 63}), Equals([]))

    def test_what_the_card_says(self):
        self.build(FakePf('eth0', **fake_cards.X710))
        self.assertThat(self.refusals(vfs={'eth0': 64}), Equals([]))
        (text,) = self.refusals(vfs={'eth0': 65})
        self.assertThat(text, Contains('at most 64 VFs'))

    def test_i210_has_none(self):
        self.build(FakePf('eth0', **fake_cards.I210))
        (text,) = self.refusals(vfs={'eth0': 1})
        self.assertThat(text, Contains('Intel I210 does not support SR-IOV'))

    def test_firmware_is_named(self):
        self.build(FakePf('eth0', **fake_cards.MLX5))
        (text,) = self.refusals(vfs={'eth0': 8})
        self.assertThat(text, Contains('NUM_OF_VFS=8'))

    def test_unknown_port_names_the_known(self):
        self.build()
        (text,) = self.refusals(vfs={'eth7': 1})
        self.assertThat(text, Contains(f'eth0 ({ADDRESS})'))

    def test_by_address_and_by_driver(self):
        self.build(
            FakePf('eth0', **I350),
            FakePf('eth1', **I350),
            FakePf('eth2', **fake_cards.I210),
        )
        for selector, count in ((ADDRESS, 1), ('driver:igb', 2)):
            items = self.items(vfs={selector: 3})
            goals = [i for i in items if isinstance(i, Goal)]
            self.assertThat(goals, HasLength(count))

    def test_two_numbers_for_one_port(self):
        self.build()
        (text,) = self.refusals(vfs={'eth0': 3, ADDRESS: 4})
        self.assertThat(text, Contains('4 VFs by this line and 3 by another'))


class TestKernelAnswers(SriovTest):
    def test_nothing_to_do_writes_nothing(self):
        self.build(FakePf('eth0', vfs=3, vf_driver=None, **I350))
        done = self.apply(vfs={'eth0': 3})
        self.assertThat(done.changed, Equals([]))
        self.assertThat(self.kernel.log, Equals([]))

    def test_zero_before_another_number_and_back(self):
        self.build()
        self.apply(vfs={'eth0': 3})
        before = prepared.snapshot(self.root)
        self.apply(vfs={'eth0': 5})
        self.assertThat(self.count(), Equals('5'))
        self.kernel.log.clear()
        self.apply(vfs={'eth0': 3})
        self.assertThat(
            [p for p in self.kernel.log if p.startswith('write ')],
            Equals([f'write {PATH}', f'write {PATH}']),
        )
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_undo_after_two_applies(self):
        self.build()
        self.apply(vfs={'eth0': 3})
        self.apply(vfs={'eth0': 5})
        prepared.take_back(self.kernel)
        self.assertThat(self.count(), Equals('0'))

    def test_foreign_vfs_are_not_zeroed(self):
        self.build(
            FakePf('eth0', **I350), FakePf('eth1', vfs=4, vf_driver=None)
        )
        self.apply(vfs={'eth0': 2})
        prepared.take_back(self.kernel)
        self.assertThat(
            self.kernel.get('sys/bus/pci/devices/0000:12:00.0/sriov_numvfs'),
            Equals('4'),
        )

    def test_partial_success_is_told_and_taken_back(self):
        self.build()
        self.kernel.gives = {ADDRESS: 5}
        done = self.apply(vfs={'eth0': 7})
        self.assertThat(done.failed[0], Contains("wrote '7', read back '5'"))
        self.assertThat(self.count(), Equals('0'))

    def test_each_answer_is_a_sentence(self):
        for number, words in (
            (errno.EBUSY, 'EBUSY.*in use'),
            (errno.ERANGE, 'ERANGE.*does not have that many'),
            (errno.EPERM, 'EPERM.*interrupt vectors'),
            (errno.ENOENT, 'ENOENT.*does not support SR-IOV'),
            (errno.ENOMEM, 'ENOMEM.*BIOS'),
            (errno.EIO, 'EIO.*Input/output error'),
        ):
            self.build()
            real = Tree(self.root).real(PATH)
            self.kernel.answers = {real: number}
            done = self.apply(vfs={'eth0': 7})
            self.assertThat(done.failed[0], MatchesRegex(f'.*{words}'))

    def test_failure_between_zero_and_the_number(self):
        self.build()
        self.apply(vfs={'eth0': 3})
        real = Tree(self.root).real(PATH)

        class Fails(FakeKernel):
            def _deliver(self, path, text):
                if path == real and text == '5':
                    raise OSError(errno.EIO, 'no')
                super()._deliver(path, text)

        kernel = Fails(self.root)
        items = self.items(vfs={'eth0': 5})
        done = prepared.apply(kernel, items)
        self.assertThat(done.failed, HasLength(1))
        self.assertThat(self.count(), Equals('3'))
        prepared.take_back(self.kernel)
        self.assertThat(self.count(), Equals('0'))

    def test_autoprobe_is_set_before_and_restored(self):
        self.build()
        terms = Terms(meanwhile={route.autoprobe(ADDRESS): '0'})
        path = f'sys/bus/pci/devices/{ADDRESS}/sriov_drivers_autoprobe'
        self.apply(terms, vfs={'eth0': 2})
        self.assertThat(self.kernel.get(path), Equals('1'))
        self.assertThat(
            [p for p in self.kernel.log if p.startswith('write ')],
            Equals([f'write {path}', f'write {PATH}', f'write {path}']),
        )


class TestGuests(SriovTest):
    def build_used(self, **port):
        self.build(FakePf('eth0', vfs=3, **I350, **port))

    def test_vf_of_a_running_guest(self):
        self.build_used()
        fake_cards.add_guest(self.kernel, function=2)
        texts = self.refusals(vfs={'eth0': 7})
        self.assertThat(
            texts,
            Equals(
                [
                    '[sriov] eth0: VF 1 (0000:11:10.2): the running guest '
                    "'web' has it (by libvirt)"
                ]
            ),
        )
        self.assertThat(
            self.plan(vfs={'eth0': 7}).changes[0].route.guests,
            Equals(('web',)),
        )
        before = prepared.snapshot(self.root)
        done = self.apply(vfs={'eth0': 7})
        self.assertThat(done.failed, HasLength(1))
        self.assertThat(
            prepared.differences(prepared.snapshot(self.root), before),
            Equals({}),
        )

    def test_nothing_lifts_it(self):
        self.build_used()
        fake_cards.add_guest(self.kernel)
        allow = frozenset({'address', 'storage', 'managed', 'stopped-guest'})
        terms = Terms(allow={'sriov': allow})
        self.assertThat(self.refusals(terms, vfs={'eth0': 0}), HasLength(1))

    def test_undo_is_refused_too(self):
        self.build()
        self.apply(vfs={'eth0': 3})
        fake_cards.add_guest(self.kernel)
        done = prepared.take_back(self.kernel)
        self.assertThat(done.failed[0], Contains("the running guest 'web'"))
        self.assertThat(self.count(), Equals('3'))

    def test_vfio_holder_without_libvirt(self):
        for guest, words in (
            ('db', "the guest 'db' has it open"),
            (None, 'the process testpmd (4242)'),
        ):
            self.build_used()
            groups = {
                d.address: d.iommu_group
                for d in Host(Tree(self.root)).inventory.devices
            }
            group = groups['0000:11:10.4']
            fake_cards.open_vfio(self.kernel, str(group), guest)
            (text,) = self.refusals(vfs={'eth0': 0})
            self.assertThat(text, Contains('VF 2 (0000:11:10.4)'))
            self.assertThat(text, Contains(words))

    def test_stopped_guest_only_when_its_vf_goes(self):
        self.build_used(vf_driver=None)
        fake_cards.add_guest(self.kernel, running=False, function=2)
        self.assertThat(self.refusals(vfs={'eth0': 5}), Equals([]))
        (text,) = self.refusals(vfs={'eth0': 1})
        self.assertThat(text, Contains('stopped guest'))
        terms = Terms(allow={'sriov': frozenset({'stopped-guest'})})
        plan = self.plan(terms, vfs={'eth0': 1})
        self.assertThat(plan.refusals, Equals(()))
        self.assertThat(str(plan.notes), Contains('stopped guest'))

    def test_macvtap_on_a_vf(self):
        self.build_used(vf_driver='igbvf')
        fake_cards.put_above(self.kernel, 'eth0v1', 'macvtap0')
        (text,) = self.refusals(vfs={'eth0': 0})
        self.assertThat(text, Contains('upper devices: macvtap0'))

    def test_pf_in_another_namespace(self):
        self.build()
        os.unlink(f'{self.root}/sys/class/net/eth0')
        (text,) = self.refusals(vfs={ADDRESS: 4})
        self.assertThat(text, Contains('another network namespace'))

    def test_vf_in_another_namespace(self):
        self.build_used(vf_driver='igbvf')
        os.unlink(f'{self.root}/sys/class/net/eth0v2')
        (text,) = self.refusals(vfs={'eth0': 0})
        self.assertThat(text, Contains('namespace'))

    def test_guest_on_a_bridge_above_is_touched(self):
        self.build()
        fake_cards.put_above(self.kernel, 'eth0', 'br0')
        fake_cards.add_guest(self.kernel, source="bridge='br0'")
        plan = self.plan(vfs={'eth0': 2})
        self.assertThat(plan.changes[0].route.guests, Equals(('web',)))
        self.assertThat(plan.refusals, Equals(()))


class TestTraffic(SriovTest):
    def test_default_route(self):
        self.build()
        fake_cards.route(self.kernel, 'eth0')
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains('it carries the default route'))
        self.assertThat(text, Contains('allow = address'))
        terms = Terms(allow={'sriov': frozenset({'address'})})
        self.assertThat(self.refusals(terms, vfs={'eth0': 2}), Equals([]))

    def test_through_bond_and_vlan_and_bridge(self):
        self.build()
        fake_cards.put_above(self.kernel, 'eth0', 'bond0')
        fake_cards.put_above(self.kernel, 'bond0', 'bond0.7')
        fake_cards.put_above(self.kernel, 'bond0.7', 'br0')
        fake_cards.route(self.kernel, 'br0')
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(
            text, Contains('its upper device br0 carries the default')
        )

    def test_open_vswitch(self):
        self.build()
        fake_cards.put_above(self.kernel, 'eth0', 'ovs-system')
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains('Open vSwitch'))

    def test_ipv6_address_but_not_a_link_local_one(self):
        self.build()
        address = f'fe80{"0" * 28} 02 40 20 80 eth0'
        self.kernel.put('proc/net/if_inet6', address)
        self.assertThat(self.refusals(vfs={'eth0': 2}), Equals([]))
        self.kernel.put(
            'proc/net/if_inet6', f'2001{"0" * 28} 02 40 00 80 eth0'
        )
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains("the host's address"))

    def test_iscsi(self):
        self.build()
        self.kernel.put('sys/class/iscsi_host/host3/netdev', 'eth0')
        (text,) = self.refusals(vfs={'eth0': 2})
        self.assertThat(text, Contains('iSCSI sessions of host3'))

    def test_nothing_to_change_needs_no_leave(self):
        self.build(FakePf('eth0', vfs=3, **I350))
        fake_cards.route(self.kernel, 'eth0')
        fake_cards.add_guest(self.kernel)
        self.assertThat(self.refusals(vfs={'eth0': 3}), Equals([]))


class TestWindows(SriovTest):
    def test_the_82576_is_not_for_windows(self):
        self.build(FakePf('eth0', **I82576))
        plan = self.plan(vfs={'eth0': 2})
        self.assertThat(str(plan.notes), Contains('Windows'))
        self.build()
        plan = self.plan(vfs={'eth0': 2})
        self.assertThat(str(plan.notes), Not(Contains('Windows')))


class TestIommu(SriovTest):
    def test_without_groups_it_is_told(self):
        self.build()
        shutil.rmtree(f'{self.root}/sys/kernel/iommu_groups')
        plan = self.plan(vfs={'eth0': 2})
        self.assertThat(str(plan.notes), Contains('no IOMMU groups'))
        self.assertThat(
            [i for i in plan.refusals if isinstance(i, Refusal)], Equals([])
        )
