"""VFs and other functions for guests, in one decision with their CPUs."""

import json
from pathlib import Path

from lxml import etree
from testtools.matchers import AfterPreprocessing, Equals

from kvm_tuning.core import cpuset
from kvm_tuning.host.inventory import reader
from tests.lab import ports
from tests.lab.base import GuestTest, huge_pages

_SPECS = {
    'hw__cpu_policy': 'dedicated',
    'kvm__cpu_locality': 'l3',
    'hw__mem_page_size': 2048,
    'hw__pci_numa_affinity_policy': 'required',
}
_ALIAS = {
    'name': 'port',
    'vendor_id': '8086',
    'product_id': '10ca',
    'device_type': 'type-VF',
}


def functions(guest):
    """Return the host's PCI functions in a guest's definition."""
    root = etree.fromstring(guest.domain.XMLDesc(2))
    return [
        '{}:{}:{}.{}'.format(
            *(
                format(int(each.get(name), 16), form)
                for name, form in (
                    ('domain', '04x'),
                    ('bus', '02x'),
                    ('slot', '02x'),
                    ('function', 'x'),
                )
            )
        )
        for each in (
            *root.iterfind(
                "devices/interface[@type='hostdev']/source/address"
            ),
            *root.iterfind('devices/hostdev/source/address'),
        )
    ]


class VfTest(GuestTest):
    deadline = 300
    extra = f'[pci]\nalias = {json.dumps(_ALIAS)}\n'

    def setUp(self):
        super().setUp()
        huge_pages(self, 160)
        self.useFixture(ports.Vfs(2))
        self.pfs = {vf: pf for pf in ports.PORTS for vf in ports.vfs(pf)}

    def attributes(self, vf):
        """Return what the PF keeps for a VF, as ``ip link`` shows it."""
        pf = self.pfs[vf]
        shown = json.loads(
            self.shell(f'ip -j -d link show {ports.interface(pf)}')
        )
        return shown[0]['vfinfo_list'][ports.vfs(pf).index(vf)]

    def assert_near(self, guest, addresses):
        """Assert that functions are in the cell of the guest's vCPUs."""
        host = reader.read()
        root = etree.fromstring(guest.domain.XMLDesc(2))
        cells = {
            host.cpu[cpu].cell
            for pin in root.iterfind('cputune/vcpupin')
            for cpu in cpuset.parse(pin.get('cpuset'))
        }
        self.assertEqual(cells, {host.device[each].cell for each in addresses})

    def test_vfs_by_vfio(self):
        guest = self.make()
        flavor = self.flavor(
            **_SPECS,
            kvm__vfs=2,
            kvm__vf_vlan=42,
            kvm__vf_trust='true',
            kvm__vf_spoof_check='false',
            kvm__vf_max_rate=100,
        )
        self.guest('tune', guest.name, '--flavor', flavor)
        found = functions(guest)
        self.assertEqual(2, len(found))
        self.assert_near(guest, found)

        self.start(guest)
        self.assertEqual({}, self.audit(guest))
        for vf in found:
            self.assertEqual('vfio-pci', ports.driver(vf))
            kept = self.attributes(vf)
            self.assertEqual(42, kept['vlan_list'][0]['vlan'], kept)
            self.assertEqual(True, kept['trust'], kept)
            self.assertEqual(False, kept['spoofchk'], kept)
            self.assertEqual(100, kept['rate']['max_tx'], kept)
        maps = Path(f'/proc/{self.pid(guest)}/fd')
        self.assertTrue(
            any('vfio' in str(fd.readlink()) for fd in maps.iterdir())
        )

        # Behind our back: the PF forgets what was promised.
        (index,) = {ports.vfs(self.pfs[found[0]]).index(found[0])}
        pf = ports.interface(self.pfs[found[0]])
        self.shell(f'ip link set {pf} vf {index} trust off')
        self.assertThat(
            self.audit(guest, status=1),
            AfterPreprocessing(
                lambda broken: [*broken],
                Equals([f'vf-attribute/{self.pfs[found[0]]}/{index}/trust']),
            ),
        )

        guest.domain.destroy()
        self.guest('undo', guest.name)
        self.assertEqual([], functions(guest))
        for vf in found:
            self.assertEqual('igbvf', ports.driver(vf))

    def test_two_guests_never_get_the_same_vf(self):
        first, second, third = (self.make() for _ in range(3))
        flavor = self.flavor(vcpus=1, **{**_SPECS, 'kvm__vfs': 2})
        self.guest('tune', first.name, '--flavor', flavor)
        self.guest('tune', second.name, '--flavor', flavor)
        given = functions(first) + functions(second)
        self.assertEqual(sorted(self.pfs), sorted(given))
        refused = self.guest('tune', third.name, '--flavor', flavor, status=1)
        self.assertIn('Exhausted: ', refused.stderr)

    def test_functions_by_their_alias(self):
        guest = self.make()
        flavor = self.flavor(**_SPECS, **{'pci_passthrough__alias': 'port:1'})
        self.guest('tune', guest.name, '--flavor', flavor)
        (found,) = functions(guest)
        self.assert_near(guest, [found])
        self.start(guest, wait=False)
        self.assertEqual({}, self.audit(guest))
        self.assertEqual('vfio-pci', ports.driver(found))

    def test_a_macvtap_on_a_vf(self):
        guest = self.make()
        flavor = self.flavor(
            **_SPECS,
            kvm__vfs=1,
            kvm__vf_attachment='macvtap',
            kvm__vf_vlan=7,
        )
        self.guest('tune', guest.name, '--flavor', flavor)
        self.start(guest, wait=False)
        self.assertEqual({}, self.audit(guest))
        (vf,) = [vf for vf in self.pfs if self._carries_macvtap(vf)]
        self.assert_near(guest, [vf])
        self.assertEqual('igbvf', ports.driver(vf))
        self.assertEqual(7, self.attributes(vf)['vlan_list'][0]['vlan'])

    def _carries_macvtap(self, vf):
        upper = Path('/sys/class/net', ports.interface(vf)).glob('upper_*')
        return any('macvtap' in each.name for each in upper)
