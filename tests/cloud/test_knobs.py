"""Each knob that the machine can hold, by flavors that ask for several."""

from tests.cloud.base import DEDICATED, NETWORK, CloudTest


class KnobTest(CloudTest):
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
