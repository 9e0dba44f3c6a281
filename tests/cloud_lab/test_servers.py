"""Servers with pages, NUMA cells, L3 domains and VFs."""

from tests.cloud_lab.base import (
    CELLS,
    FIRST,
    HOUSEKEEPING,
    NODES,
    SECOND,
    CloudLabTest,
)


class HostTest(CloudLabTest):
    def test_hosts(self):
        """Both nodes are prepared, and the cloud knows what they have."""
        for node in NODES:
            self.shell(node, 'EVENTLET_NO_GREENDNS=yes kvm-tuning host ready')
            (provider,) = self.cloud.placement.resource_providers(name=node)
            traits = self.cloud.placement.get(
                f'/resource_providers/{provider.id}/traits',
                microversion='1.6',
            ).json()['traits']
            for trait in ('', '_L3', '_VHOST'):
                self.assertIn(f'CUSTOM_KVM_TUNING{trait}', traits)
            totals = {
                each.resource_class: each.total
                for each in self.cloud.placement.resource_provider_inventories(
                    provider.id
                )
            }
            self.assertEqual((4, 4), (totals['PCPU'], totals['VCPU']), totals)


class ServerTest(CloudLabTest):
    def test_two_cells(self):
        """vCPUs and memory in both cells, each with an L3 domain."""
        flavor = self.pushed('perf.numa', 4, 256, hw__numa_nodes=2)
        server = self.boot(flavor, host=FIRST)
        self.clean(server)
        xml = self.xml(server)
        pins = self.placed(xml)
        vcpus = [pins[f'vcpupin{number}'] for number in range(4)]
        self.assertEqual([1] * 4, [*map(len, vcpus)], pins)
        self.assertIn(vcpus[0] | vcpus[1], CELLS)
        self.assertIn(vcpus[2] | vcpus[3], CELLS)
        self.assertEqual(CELLS[0] | CELLS[1], set().union(*vcpus))
        self.assertEqual(HOUSEKEEPING, pins['emulatorpin'])
        self.assertEqual({0: 64, 1: 64}, self.pages(server))
        # The other cell is taken, too: no room for anybody.
        small = self.pushed('perf.small', 2, 128)
        self.assertIn('No valid host', self.refused(small, host=FIRST))

    def refused(self, flavor, **more):
        """Return why a server of a flavor cannot be had."""
        server = self.settled(self.create(flavor, **more))
        self.assertEqual('ERROR', server.status)
        return self.why(server)

    def test_vf(self):
        """An igb VF in the cell of the vCPUs, by the compiled flavor."""
        flavor = self.pushed(
            'perf.vf', 2, 128, kvm__vfs=1,
            hw__pci_numa_affinity_policy='required',
        )  # fmt: skip
        self.assertEqual(
            'kvm-tuning-vf:1', flavor.extra_specs['pci_passthrough:alias']
        )
        self.assertEqual(
            'required', flavor.extra_specs['trait:CUSTOM_KVM_TUNING_L3']
        )
        server = self.boot(flavor, host=SECOND)
        self.clean(server)
        xml = self.xml(server)
        (source,) = xml.iterfind('devices/hostdev/source/address')
        bus, slot, function = (
            int(source.get(key), 16) for key in ('bus', 'slot', 'function')
        )
        address = f'0000:{bus:02x}:{slot:02x}.{function}'
        about = self.shell(
            SECOND,
            f'cd /sys/bus/pci/devices/{address} && cat numa_node && '
            f'basename $(readlink driver) && basename $(readlink physfn)',
        ).split()
        cell = int(about[0])
        self.assertEqual('vfio-pci', about[1])
        pins = self.placed(xml)
        self.assertEqual(CELLS[cell], pins['vcpupin0'] | pins['vcpupin1'])
        self.assertEqual({cell: 64}, self.pages(server))
