"""What keeps VFs from being made: no room, a port that is down, a driver
that a list keeps from loading; and what does not: VFs that are idle.
"""

import errno
import os

from testtools.matchers import Contains, Equals, Not

from kvm_tuning.host.prep.goals import Goal, Note
from kvm_tuning.host.prep.kinds import modprobe
from tests.fixtures import fake_cards
from tests.fixtures.fake_cards import ADDRESS, I350, PATH, X520
from tests.fixtures.fake_host import FakePf
from tests.unit.host.prep.groups.sriov import test_ports

_HOME = f'sys/bus/pci/devices/{ADDRESS}'
_BAR = '0x00000000fb000000 0x00000000fb07ffff 0x000000000014220c\n'
_NOTHING = '0x0000000000000000 0x0000000000000000 0x0000000000000000\n'
_UNPLACED = '0x0000000000000000 0x000000000007ffff 0x0000000000142204\n'
_BNXT = {'vendor': '14e4', 'product': '16d7', 'total_vfs': 16}


class TestRoom(test_ports.SriovTest):
    def test_the_kernel_found_no_addresses(self):
        for bars, told in (
            (_NOTHING * 6, True),
            (_UNPLACED + _NOTHING * 5, True),
            (_BAR + _NOTHING * 2 + _BAR + _NOTHING * 2, False),
            ('', False),
            ('garbage\n' * 6, False),
        ):
            self.build(FakePf('eth0', **X520))
            self.kernel.put(f'{_HOME}/resource', _BAR * 7 + bars)
            text = ' '.join(self.refusals(vfs={'eth0': 8}))
            wanted = Contains('pci=realloc')
            self.assertThat(text, wanted if told else Not(wanted), bars)
            # None are asked for: nothing is in the way.
            self.assertThat(self.refusals(vfs={'eth0': 0}), Equals([]))

    def test_the_bridge_has_no_bus_for_them(self):
        for end, told in ((0x11, True), (0x12, False)):
            self.build(FakePf('eth0', **I350))
            self.kernel.put(f'{_HOME}/sriov_offset', 384)
            self.kernel.put(f'{_HOME}/sriov_stride', 4)
            self.kernel.put(
                'sys/bus/pci/devices/0000:00:01.0/subordinate_bus_number', end
            )
            text = ' '.join(self.refusals(vfs={'eth0': 7}))
            wanted = Contains('pci=assign-busses')
            self.assertThat(text, wanted if told else Not(wanted))

    def test_what_is_given_already_is_not_advised(self):
        self.build(FakePf('eth0', **X520))
        self.kernel.put(f'{_HOME}/resource', _BAR * 7 + _NOTHING * 6)
        self.kernel.put('proc/cmdline', 'quiet pci=nomsi,realloc=on')
        (text,) = self.refusals(vfs={'eth0': 8})
        self.assertThat(text, Contains('pci=realloc is given already'))

    def test_the_kernel_says_so_afterwards(self):
        self.build(FakePf('eth0', **X520))
        real = self.kernel.tree().real(_HOME)
        self.kernel.answers[f'{real}/sriov_numvfs'] = errno.ENOMEM
        done = self.apply(vfs={'eth0': 8})
        text = ' '.join(done.failed)
        for word in ('BIOS', 'pci=realloc', 'pci=assign-busses', 'dmesg'):
            self.assertThat(text, Contains(word))


class TestPortThatIsDown(test_ports.SriovTest):
    def built(self, driver, up=False, flags=None):
        self.build(FakePf('eth0', **_BNXT, driver=driver, up=up))
        if flags is not None:
            self.kernel.put('sys/class/net/eth0/flags', flags)
        return ' '.join(self.refusals(vfs={'eth0': 4}))

    def test_drivers_that_want_it_up(self):
        for driver in ('bnxt_en', 'bnx2x'):
            self.assertThat(self.built(driver), Contains('eth0 is down'))
            # Without a cable it is up as far as the driver is concerned.
            self.assertThat(self.built(driver, flags='0x1003'), Equals(''))
            text = self.built(driver, up=True, flags='0x1002')
            self.assertThat(text, Contains('ip link set eth0 up'))

    def test_other_drivers(self):
        self.assertThat(self.built('mlx5_core'), Not(Contains('is down')))
        self.assertThat(self.built('ice'), Equals(''))

    def test_the_next_boot_is_told_of(self):
        self.built('bnxt_en', up=True)
        notes = [
            str(i) for i in self.items(vfs={'eth0': 4}) if isinstance(i, Note)
        ]
        self.assertThat(' '.join(notes), Contains('before the network'))


class TestAnothersParameter(test_ports.SriovTest):
    path = 'etc/modprobe.d/igb.conf'

    def given(self, value, method='auto', driver='igb'):
        self.build(FakePf('eth0', **{**I350, 'driver': driver}))
        self.kernel.put(self.path, f'options igb max_vfs={value}')
        return ' '.join(self.refusals(vfs={'eth0': 7}, method=method))

    def test_a_list_keeps_the_driver_from_loading(self):
        for method in ('auto', 'sysfs', 'max_vfs'):
            for value in ('7,7', '7,7,7,7', 'seven', '-1', ''):
                text = self.given(value, method)
                self.assertThat(text, Contains('does not load'), value)
                self.assertThat(text, Contains(f'/{self.path} sets max_vfs='))

    def test_a_number_does_not(self):
        for value in ('7', '0x7', '3'):
            self.assertThat(self.given(value), Equals(''), value)
            (row,) = self.rows(vfs={'eth0': 7})
            self.assertThat(' '.join(row.others), Contains(f'max_vfs={value}'))

    def test_a_list_after_the_driver_is_gone(self):
        self.assertThat(self.given('7,7', driver=None), Contains('no driver'))

    def test_the_vendors_driver_takes_a_list(self):
        self.given('7,7')
        self.kernel.put('sys/module/igb/taint', 'OE')
        self.assertThat(self.refusals(vfs={'eth0': 7}), Equals([]))

    def test_of_another_card(self):
        self.build(FakePf('eth0', **X520))
        self.kernel.put(self.path, 'options igb max_vfs=7,7')
        self.assertThat(self.refusals(vfs={'eth0': 7}), Equals([]))

    def test_nothing_is_written_into_modprobe(self):
        self.given('7,7', 'max_vfs')
        goals = [
            i
            for i in self.items(vfs={'eth0': 7}, method='max_vfs')
            if isinstance(i, Goal) and i.setting.kind == 'module-parameter'
        ]
        self.assertThat(goals, Equals([]))
        self.assertThat(
            self.kernel.tree().text(modprobe.OPTIONS), Equals(None)
        )


class TestIdleVfs(test_ports.SriovTest):
    def held(self, driver, opened=None, folder=False):
        self.build(FakePf('eth0', vfs=2, vf_driver=driver, **I350))
        host = self.kernel.tree()
        for name in host.names('sys/bus/pci/devices'):
            home = f'sys/bus/pci/devices/{name}'
            if 'physfn' not in host.names(home):
                continue
            for net in host.names(f'{home}/net'):
                # User space has it: the host sees no interface.
                os.unlink(f'{self.root}/sys/class/net/{net}')
            if folder:
                self.kernel.put(f'{home}/vfio-dev/vfio{name[-1]}/dev', '1:1')
        if opened:
            fake_cards.open_vfio(self.kernel, opened, 'web')
        return ' '.join(self.refusals(vfs={'eth0': 3}))

    def test_variants_of_vfio_pci(self):
        for driver in (
            'vfio-pci',
            'mlx5_vfio_pci',
            'hisi_acc_vfio_pci',
            'qat_vfio_pci',
            'virtio_vfio_pci',
        ):
            self.assertThat(self.held(driver), Equals(''), driver)
            self.assertThat(
                self.held(driver, 'devices/vfio0', folder=True),
                Contains("the guest 'web' has it open"),
            )

    def test_any_driver_with_the_folder(self):
        self.assertThat(self.held('vendorx', folder=True), Equals(''))
        self.assertThat(self.held('vendorx'), Contains('vendorx'))


class TestCounts(test_ports.SriovTest):
    def test_a_port_that_has_them_is_not_in_the_way(self):
        self.build(FakePf('eth0', **_BNXT, driver='bnxt_en', up=False, vfs=4))
        self.assertThat(self.refusals(vfs={'eth0': 4}), Equals([]))
        self.assertThat(self.kernel.get(PATH), Equals('4'))
