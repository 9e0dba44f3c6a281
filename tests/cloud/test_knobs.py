"""Each knob that the machine can hold, by flavors that ask for several."""

from pathlib import Path
import re

from tests.cloud import coverage
from tests.cloud.base import DEDICATED, NETWORK, SPLIT, CloudTest
from tests.cloud.host import HostPrep

#: More than a guest of 64 MiB needs.
PAGES = '[huge_pages]\npages = node:0,size:2048,count:64\n'

_CAP_SYS_RESOURCE = 24


def may_lock():
    """Return whether libvirt may raise QEMU's limit of locked memory."""
    (held,) = re.findall(
        r'^CapEff:\s*(\w+)', Path('/proc/self/status').read_text(), re.M
    )
    return bool(int(held, 16) & 1 << _CAP_SYS_RESOURCE)


class DedicatedTest(CloudTest):
    """A server is as its flavor says, and the audit finds nothing."""

    variant = DEDICATED

    def _boot(self, vcpus=1, **specs):
        more = {
            key: specs.pop(key)
            for key in ('network', 'nics', 'image')
            if key in specs
        }
        server = self.boot(self.pinned(vcpus, **specs), **more)
        self.clean(server)
        return self.xml(server)

    def test_disk(self):
        """Cache, engine, iothreads and queues of the disk."""
        xml = self._boot(
            2,
            kvm__iothreads='1',
            kvm__disk_iothread_map='dedicated',
            kvm__disk_cache='none',
            kvm__disk_io='native',
            kvm__disk_queues='2',
        )
        self.assertEqual('1', xml.findtext('iothreads'))
        driver = xml.find('devices/disk/driver')
        self.assertEqual('none', driver.get('cache'))
        self.assertEqual('native', driver.get('io'))
        self.assertEqual('2', driver.get('queues'))
        self.assertEqual('1', driver.get('iothread'))

    def test_disk_otherwise(self):
        """The other caches and engines are kept, too."""
        xml = self._boot(
            kvm__disk_cache='writethrough', kvm__disk_io='threads'
        )
        driver = xml.find('devices/disk/driver')
        self.assertEqual('writethrough', driver.get('cache'))
        self.assertEqual('threads', driver.get('io'))

    def test_disks(self):
        """What goes for the disk goes for the flavor's others, too."""
        xml = self._boot(
            # Nova formats the other disk by the operating system
            image=self.image(os_type='linux'),
            swap=16,
            ephemeral=1,
            kvm__disk_iothread_map='dedicated',
            kvm__disk_cache='none',
        )
        self.assertEqual('3', xml.findtext('iothreads'))
        self.assertEqual(
            [('none', '1'), ('none', '2'), ('none', '3')],
            [
                (each.get('cache'), each.get('iothread'))
                for each in xml.iterfind('devices/disk/driver')
            ],
        )

    def test_models(self):
        """An image with the devices of an older guest."""
        image = self.image(
            hw_disk_bus='scsi',
            hw_scsi_model='virtio-scsi',
            hw_vif_model='e1000',
            os_type='linux',
            os_distro='debian12',
        )
        xml = self._boot(
            2, image=image, network=NETWORK, kvm__disk_queues='auto'
        )
        model = xml.find('devices/interface/model')
        self.assertEqual('e1000', model.get('type'))
        self.assertEqual('scsi', xml.find('devices/disk/target').get('bus'))
        path = "devices/controller[@model='virtio-scsi']/driver"
        self.assertEqual('2', xml.find(path).get('queues'))

    def test_memory(self):
        """KSM, THP, the time of allocation and the place."""
        xml = self._boot(
            kvm__page_sharing='false',
            kvm__transparent_huge_pages='madvise',
            kvm__memory_allocation='immediate',
            kvm__memory_locality='strict',
        )
        backing = xml.find('memoryBacking')
        self.assertIsNotNone(backing.find('nosharepages'))
        self.assertEqual('immediate', backing.find('allocation').get('mode'))
        self.assertEqual('strict', xml.find('numatune/memory').get('mode'))

    def test_memory_on_demand(self):
        """The opposite of these."""
        xml = self._boot(
            kvm__page_sharing='true',
            kvm__memory_allocation='ondemand',
            kvm__memory_locality='preferred',
        )
        self.assertIsNone(xml.find('memoryBacking/nosharepages'))
        self.assertEqual('preferred', xml.find('numatune/memory').get('mode'))

    def test_memory_locked(self):
        """Small pages that stay in memory."""
        if not may_lock():
            self.skipTest('libvirt lacks CAP_SYS_RESOURCE here')
        xml = self._boot(
            hw__mem_page_size='small',
            hw__locked_memory='true',
            kvm__memory_locality='strict',
        )
        self.assertIsNotNone(xml.find('memoryBacking/locked'))

    def test_memory_huge(self):
        """Pages that host-prep has set aside."""
        host = HostPrep(self)
        host.prepare(PAGES)
        # It reads at its start what pages there are
        self.harness('restart', 'nova-compute')
        server = self.boot(
            self.pinned(hw__mem_page_size='2MB', kvm__cpu_locality='l3')
        )
        self.clean(server)
        page = self.xml(server).find('memoryBacking/hugepages/page')
        self.assertEqual('2048', page.get('size'))
        self.assertEqual(32, 64 - host.free_pages())
        self.compute.reboot_server(server, 'HARD')
        self.wait(server)
        self.clean(server)

    def test_cells(self):
        """A NUMA cell of the guest's own."""
        xml = self._boot(
            2,
            hw__numa_nodes='1',
            kvm__memory_locality='strict',
            **{'hw__numa_cpus.0': '0-1', 'hw__numa_mem.0': '64'},
        )
        (cell,) = xml.iterfind('cpu/numa/cell')
        self.assertEqual(('0-1', '65536'), (cell.get('cpus'),
                                            cell.get('memory')))  # fmt: skip

    def test_cpus_of_helpers(self):
        """One more pCPU, for the emulator's threads."""
        xml = self._boot(
            hw__cpu_thread_policy='prefer',
            hw__emulator_threads_policy='isolate',
            kvm__cpu_locality='numa',
        )
        pin = xml.find('cputune/vcpupin').get('cpuset')
        emulator = xml.find('cputune/emulatorpin').get('cpuset')
        self.assertTrue(emulator.isdigit(), emulator)
        self.assertNotEqual(pin, emulator)

    def test_cpus(self):
        """A strict L3 domain, helper threads, the caches that guests see."""
        xml = self._boot(
            2,
            kvm__cpu_locality='l3',
            kvm__cpu_locality_policy='strict',
            kvm__emulator_cpus='guest',
            kvm__iothreads='1',
            kvm__disk_iothread_map='shared',
            kvm__iothread_cpus='guest',
            kvm__cache_topology='emulate',
        )
        pins = {
            pin.get('vcpu'): pin.get('cpuset')
            for pin in xml.iterfind('cputune/vcpupin')
        }
        self.assertEqual(2, len(set(pins.values())), pins)
        self.assertEqual('emulate', xml.find('cpu/cache').get('mode'))

    def test_nics(self):
        """Queues, ring and backend of a port on Open vSwitch."""
        xml = self._boot(
            2,
            network=NETWORK,
            kvm__vif_backend='qemu',
            kvm__vif_queues='2',
            kvm__vif_rx_ring='512',
        )
        driver = xml.find('devices/interface/driver')
        self.assertEqual('qemu', driver.get('name'))
        self.assertEqual('2', driver.get('queues'))
        self.assertEqual('512', driver.get('rx_queue_size'))

    def test_nics_by_both_keys(self):
        """Nova's own gives an emulated guest one queue: ours has the word."""
        xml = self._boot(
            2,
            network=NETWORK,
            hw__vif_multiqueue_enabled='true',
            kvm__vif_queues='auto',
        )
        driver = xml.find('devices/interface/driver')
        self.assertEqual('2', driver.get('queues'))

    def test_profile(self):
        """A profile is all of its knobs, as far as the host has it."""
        server = self.boot(
            self.pinned(kvm__profile='throughput'), network=NETWORK
        )
        # Two iothreads, and Nova makes one disk: the second one is idle
        self.assertEqual(['iothreads'], self.faults(server))
        xml = self.xml(server)
        self.assertEqual('2', xml.findtext('iothreads'))
        self.assertIsNotNone(xml.find('memoryBacking/nosharepages'))


class SharedTest(CloudTest):
    """The same where a pCPU is shared."""

    variant = SPLIT

    def test_mixed(self):
        """One vCPU has a pCPU of its own; what helps is on the other."""
        server = self.boot(
            self.flavor(
                2,
                hw__cpu_policy='mixed',
                hw__cpu_dedicated_mask='1',
                kvm__emulator_cpus='housekeeping',
                kvm__iothreads='1',
                kvm__iothread_cpus='housekeeping',
            )
        )
        self.clean(server)
        xml = self.xml(server)
        shared, own = (
            pin.get('cpuset') for pin in xml.iterfind('cputune/vcpupin')
        )
        self.assertEqual('0', shared)
        self.assertTrue(own.isdigit() and own != shared, own)
        for name in ('emulatorpin', 'iothreadpin'):
            pin = xml.find(f'cputune/{name}')
            self.assertEqual(shared, pin.get('cpuset'), name)

    def test_shared(self):
        """A guest of the shared pCPU beside a pinned one."""
        pinned = self.boot(self.pinned(kvm__emulator_cpus='housekeeping'))
        server = self.boot(self.flavor(kvm__cpu_locality='l3'))
        self.clean(server)
        self.clean(pinned)
        held = self.pins()
        self.assertEqual(1, len(held[pinned.id]), held)
        for cpus in self.domain(server).vcpus()[1]:
            self.assertFalse(cpus[held[pinned.id][0]], cpus)


class RestTest(CloudTest):
    """A server is as a scenario has it, of knobs that no test is about."""

    variant = DEDICATED

    def test_as_scenarios_keep_them(self):
        for knob in coverage.rest():
            scenario = coverage.scenario_of(knob)
            self.assertIsNotNone(scenario, knob.name)
            specs = {
                key.replace(':', '__'): str(value)
                for key, value in scenario['flavor'].items()
            }
            flavor = self.flavor(scenario.get('vcpus', 1), 64, **specs)
            self.clean(self.boot(flavor))
