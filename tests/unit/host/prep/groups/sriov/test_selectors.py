"""Ports as people write them."""

import testtools
from testtools.matchers import Contains, Equals

from kvm_tuning.host import configuration
from kvm_tuning.host.prep.goals import Goal
from kvm_tuning.host.prep.groups.sriov import group, selectors
from tests.fixtures.fake_cards import ADDRESS, I350
from tests.fixtures.fake_host import FakePf
from tests.unit.host.prep.groups.sriov import test_ports


class TestAddress(testtools.TestCase):
    def test_forms(self):
        for text, wanted in (
            ('11:00.0', '0000:11:00.0'),
            ('0000:1B:0A.3', '0000:1b:0a.3'),
            ('1b:0a.3', '0000:1b:0a.3'),
            ('00001:1b:0a.3', '0001:1b:0a.3'),
            ('10000:1b:0a.3', '10000:1b:0a.3'),
            ('pci@0000:11:00.0', '0000:11:00.0'),
            ('pci:0000:11:00.0', '0000:11:00.0'),
            ('11:00', None),
            ('11:00.8', None),
            ('eth0', None),
            ('52:54:00:00:00:00', None),
        ):
            self.assertThat(selectors.address(text), Equals(wanted), text)


class TestSelect(test_ports.SriovTest):
    def chosen(self, selector):
        self.build(FakePf('eth0', **I350), FakePf('eth1', **I350))
        items = self.items(vfs={selector: 3})
        return [i.title for i in items if isinstance(i, Goal)]

    def test_each_form(self):
        for selector in (
            'eth0',
            ADDRESS,
            '11:00.0',
            '0000:11:00.0',
            'pci@0000:11:00.0',
            '52:54:00:00:00:00',
            '52-54-00-00-00-00',
        ):
            self.assertThat(
                self.chosen(selector), Equals(['VFs of eth0']), selector
            )
        self.assertThat(self.chosen('ETH0'), Equals([]))

    def test_an_upper_case_address(self):
        self.build(*[FakePf(f'eth{number}', **I350) for number in range(12)])
        items = self.items(vfs={'0000:1B:00.0': 3, '1C:00.0': 2})
        self.assertThat(
            [i.title for i in items if isinstance(i, Goal)],
            Equals(['VFs of eth10', 'VFs of eth11']),
        )

    def test_two_forms_of_one_port(self):
        self.build()
        (text,) = self.refusals(vfs={'11:00.0': 3, ADDRESS: 4})
        self.assertThat(text, Contains('4 VFs by this line and 3 by another'))

    def test_the_message_has_the_address_as_read(self):
        self.build()
        (text,) = self.refusals(vfs={'0000:1B:00.0': 1})
        self.assertThat(text, Contains('(0000:1b:00.0)'))
        self.assertThat(text, Contains(f'eth0 ({ADDRESS})'))

    def test_the_configuration_takes_them(self):
        self.build()
        for selector in ('11:00.0', '52:54:00:00:00:00', 'pci@0000:11:00.0'):
            self.kernel.put(
                'etc/kvm-tuning/kvm-tuning.conf',
                f'[sriov]\nvfs = {selector}=3',
            )
            found = group.wanted(configuration.load(self.root))
            self.assertThat(found.vfs, Equals({selector: 3}))
