"""VFs that Nova gives have what the flavor asks, and are put back."""

import json
import os
import re
from typing import ClassVar

import fixtures
import nova.conf
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.api import client
from nova.tests.functional.libvirt import base as libvirt_base
from nova.virt.libvirt import driver

from kvm_tuning.adapters.nova.compute import (
    receipts,
    traits,
    virtual_functions,
)
from kvm_tuning.core.inventory import PciDevice
from tests.fixtures.fake_vfs import NEW, FakeWriter
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


class VfTest(base.ServersTest):
    ADDITIONAL_FILTERS = ['NUMATopologyFilter', 'PciPassthroughFilter']
    #: What ``device_spec`` and ``alias`` have beside the IDs.
    MARKS: ClassVar[dict[str, str]] = {}

    def setUp(self):
        self.flags(
            device_spec=[json.dumps(IDS | self.MARKS)],
            alias=[json.dumps(ALIAS | self.MARKS)],
            group='pci',
        )
        super().setUp()
        self.flags(state_path=self.useFixture(fixtures.TempDir()).path)
        self.writer = FakeWriter(*((PF, index) for index in range(2)))
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.virtual_functions.WRITER',
                self.writer,
            )
        )
        self.readers.functions = functions

    def start(self, hostname='compute1', **kwargs):
        return super().start(
            hostname,
            pci_info=fakelibvirt.HostPCIDevicesInfo(num_pfs=1, num_vfs=2),
            **kwargs,
        )

    def has(self):
        """Return the VFs whose attributes were changed."""
        return [
            {k: v for k, v in vf.items() if v != NEW[k]}
            for vf in self.writer.vfs.values()
        ]


class VirtualFunctionsTest(VfTest):
    def setUp(self):
        super().setUp()
        self.start()

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

        # Fewer than are asked for are no VFs that were promised.
        few = {**SPECS, 'kvm:vfs': '2'}
        server = self.boot(vcpus=2, expected_state='ERROR', **few)
        self.assertIn('requests fewer', server['fault']['message'])

        # What a PF does not take fails the guest, and all is as it was.
        self.writer.refused.add('vlan')
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


class LiveMigrationTest(libvirt_base.LibvirtMigrationMixin, VfTest):
    """Nova migrates VFs that are marked so; it sets nothing of them."""

    MARKS: ClassVar[dict[str, str]] = {'live_migratable': 'yes'}

    def setUp(self):
        super().setUp()
        for name in ('one', 'two'):
            self.start(
                name,
                libvirt_version=_number(
                    driver.MIN_VFIO_PCI_VARIANT_LIBVIRT_VERSION
                ),
                qemu_version=_number(driver.MIN_VFIO_PCI_VARIANT_QEMU_VERSION),
            )

    def boots(self, **specs):
        self.server = self.boot(vcpus=2, **specs)
        source = self.host(self.server)
        (target,) = {'one', 'two'} - {source}
        self.src, self.dest = self.computes[source], self.computes[target]
        return source, target

    def test_vfs_with_attributes_stay(self):
        source, _target = self.boots(**SPECS)
        # libvirt has another prefix where the receipt was written again.
        xml = self.xml(self.server, source)
        self.assertIn('kvm-tuning:setting', xml)
        for text in (xml, re.sub(r'(</?|xmlns:)kvm-tuning\b', r'\1r', xml)):
            self.assertEqual(
                ['trust', 'vlan'], virtual_functions.promised(text)
            )
        before = self.has()
        error = self.assertRaises(
            client.OpenStackApiException,
            self._live_migrate,
            self.server,
            'completed',
        )
        self.assertIn('NoValidHost', str(error))
        self._wait_for_state_change(self.server, 'ACTIVE')
        self.assertEqual(source, self.host(self.server))
        self.assertFalse(self.migrate_stub_ran)
        self.assertEqual(before, self.has())
        (why,) = {
            event['details']
            for action in self.api.get_instance_actions(self.server['id'])
            for event in self.api.api_get(
                f'/servers/{self.server["id"]}/os-instance-actions/'
                f'{action["request_id"]}'
            ).body['instanceAction']['events']
            if event['event'] == 'compute_check_can_live_migrate_source'
        }
        self.assertIn('kvm:vf_trust, kvm:vf_vlan: ', why)
        self.assertIn('cold', why)
        self.assertIn(why, self.stdlog.logger.output)

    def test_vfs_without_attributes_move(self):
        _source, target = self.boots(
            **{k: v for k, v in SPECS.items() if k.startswith('pci')},
            kvm__memory_allocation='immediate',
        )
        self._live_migrate(self.server, 'completed')
        self.assertEqual(target, self.host(self.server))
        self.assertTrue(self.migrate_stub_ran)


def _number(version):
    """Return a version as libvirt has it."""
    major, minor, release = version
    return major * 1000000 + minor * 1000 + release
