"""VFs that Nova gives have what the flavor asks, and are put back."""

import json
import os

import fixtures
import nova.conf
from nova.tests.fixtures import libvirt as fakelibvirt

from kvm_tuning.adapters.nova import receipts, traits
from kvm_tuning.core.inventory import PciDevice
from tests.fixtures.fake_vfs import NEW, FakeHands
from tests.nova import base

PF = '0000:81:00.0'
VFS = ('0000:81:00.1', '0000:81:00.2')
IDS = {
    'vendor_id': fakelibvirt.PCI_VEND_ID,
    'product_id': fakelibvirt.VF_PROD_ID,
}
ALIAS = {**IDS, 'device_type': 'type-VF', 'name': 'kvm-tuning-vf'}
SPECS = {
    'pci_passthrough:alias': 'kvm-tuning-vf:1',
    'kvm:vfs': '1',
    'kvm:vf_trust': 'true',
    'kvm:vf_vlan': '7',
}


def functions():
    """Return what sysfs would tell of the VFs."""
    return tuple(
        PciDevice(
            address, '8086', '1515', '020000', 0, 'vfio-pci',
            pf=PF, vf_index=index,
        )
        for index, address in enumerate(VFS)
    )  # fmt: skip


class VirtualFunctionsTest(base.ServersTest):
    ADDITIONAL_FILTERS = ['NUMATopologyFilter', 'PciPassthroughFilter']

    def setUp(self):
        self.flags(
            device_spec=[json.dumps(IDS)],
            alias=[json.dumps(ALIAS)],
            group='pci',
        )
        super().setUp()
        self.flags(state_path=self.useFixture(fixtures.TempDir()).path)
        self.hands = FakeHands(*((PF, index) for index in range(2)))
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.virtual_functions.HANDS', self.hands
            )
        )
        self.readers.functions = functions
        self.start(
            pci_info=fakelibvirt.HostPCIDevicesInfo(num_pfs=1, num_vfs=2)
        )

    def has(self):
        """Return the VFs whose attributes were changed."""
        return [
            {k: v for k, v in vf.items() if v != NEW[k]}
            for vf in self.hands.vfs.values()
        ]

    def test_set_before_the_start_and_put_back(self):
        server = self.boot(vcpus=2, **SPECS)
        (given,) = self.domain(server).current.passed_through
        mine = VFS.index(given)
        changed = [{}, {}]
        changed[mine] = {'trust': '1', 'vlan': '7'}
        self.assertEqual(changed, self.has())
        names = {s.name for s in self.domain(server).receipt.settings}
        self.assertEqual({f'{PF}/{mine}/trust', f'{PF}/{mine}/vlan'}, names)
        # A restart leaves those of guests that run.
        receipts.reconcile(self.computes['compute1'].driver._host)
        self.assertEqual(changed, self.has())
        self._delete_server(server)
        self.assertEqual([{}, {}], self.has())
        journal = f'{nova.conf.CONF.state_path}/kvm-tuning'
        self.assertEqual([], os.listdir(journal))

        # What a PF does not take fails the guest, and all is as it was.
        self.hands.refused.add('vlan')
        server = self.boot(vcpus=2, expected_state='ERROR', **SPECS)
        self.assertEqual([{}, {}], self.has())

    def test_a_setting_of_the_host_is_no_vf(self):
        mode = traits.thp_mode() or 'always'
        server = self.boot(
            vcpus=2,
            hw__cpu_policy='dedicated',
            kvm__transparent_huge_pages=mode,
        )
        (setting,) = self.domain(server).receipt.settings
        self.assertEqual('transparent_hugepage/enabled', setting.name)
        self.assertEqual([{}, {}], self.has())
