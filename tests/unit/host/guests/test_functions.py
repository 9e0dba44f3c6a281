"""What a guest has of the host's PCI functions is read from sysfs."""

import fixtures
import testtools

from kvm_tuning.core import domain
from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.guests import functions
from tests.fixtures import domain_store
from tests.fixtures.fake_host import FakeHost, FakePf

PF = '0000:11:00.0'


class FunctionsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path

    def read(self, devices, driver):
        FakeHost(
            cells=1, pfs=(FakePf('eth0', vfs=3, vf_driver=driver),)
        ).write(self.root)
        xml = domain_store.xml('g').replace('<devices>', f'<devices>{devices}')
        return functions.read(domain.read(xml).current, self.root)

    def test_one_by_vfio(self):
        (found,) = self.read(
            "<hostdev mode='subsystem' type='pci'><source><address "
            "domain='0' bus='0x11' slot='0x10' function='4'/></source>"
            '</hostdev>',
            'vfio-pci',
        ).values()
        self.assertEqual('0000:11:10.4', found.address)
        self.assertEqual(
            ('vfio-pci', PF, 2), (found.driver, found.pf, found.index)
        )
        self.assertIsInstance(found.attributes, Unknown)

    def test_one_below_a_macvtap_and_no_pf(self):
        found = self.read(
            "<interface type='direct'><source dev='eth0v1' "
            "mode='passthrough'/></interface>"
            "<interface type='direct'><source dev='eth0' mode='bridge'/>"
            '</interface>',
            'igbvf',
        )
        self.assertEqual(
            [(PF, 1)], [(each.pf, each.index) for each in found.values()]
        )

    def test_one_that_is_gone(self):
        (found,) = self.read(
            "<hostdev mode='subsystem' type='pci'><source><address "
            "domain='0' bus='0x77' slot='0x10' function='0'/></source>"
            '</hostdev>',
            'vfio-pci',
        ).values()
        self.assertEqual((None, None), (found.driver, found.pf))
