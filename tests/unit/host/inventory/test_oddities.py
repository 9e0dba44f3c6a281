"""Cells, and what one entry shows that no other does."""

import fixtures
from testtools.matchers import Contains, Equals, GreaterThan, LessThan

from kvm_tuning.core.inventory import NO_CELL, PagePool
from kvm_tuning.core.site import Policy
from kvm_tuning.core.solver.grid import Grid
from kvm_tuning.host.inventory import reader
from tests.fixtures.fake_host import FakeDisk, FakeHost, FakeNic, FakePf
from tests.unit.host.inventory.test_reader import TreeTest


class TestOddities(TreeTest):
    """What one entry shows that no other does stops nothing."""

    def test_text_of_sysfs_ends_at_a_nul(self):
        FakeHost(cells=2, cores=1, threads=1).write(self.root)
        with open(f'{self.root}/{self.node}/node1/cpulist', 'wb') as stream:
            stream.write(b'2-3\n\0\0garbage')
        found = reader.read(self.root)
        self.assertThat(found.cell[1].cpus, Equals(frozenset((2, 3))))

    def test_an_l3_cache_that_nobody_shares(self):
        FakeHost(cells=1, l3_per_cell=1, cores=2).write(self.root)
        for cpu in range(4):
            base = f'{self.cpu}/cpu{cpu}/cache/index3'
            self.unlink(f'{base}/shared_cpu_list')
            self.put(f'{base}/shared_cpu_map', '00000000,00000000')
        found = reader.read(self.root)
        self.assertThat(found.l3, Equals(found.cores))

    def test_l3_domains_that_contradict(self):
        FakeHost(cells=1, l3_per_cell=1, cores=4, threads=1).write(self.root)
        for cpu, shared in enumerate(('0-1', '0-1', '1-2', '3')):
            base = f'{self.cpu}/cpu{cpu}/cache/index3'
            self.put(f'{base}/shared_cpu_list', shared)
        found = reader.read(self.root)
        self.assertThat(found.l3, Equals((frozenset((0, 1)), frozenset((3,)))))
        self.assertThat(
            ' '.join(found.oddities), Contains('L3 domain of CPU 2')
        )

    def test_siblings_that_are_cores(self):
        FakeHost(cells=1, l3_per_cell=1, cores=2).write(self.root)
        for cpu in range(4):
            self.put(f'{self.cpu}/cpu{cpu}/topology/core_id', str(cpu))
        found = reader.read(self.root)
        self.assertThat(found.smt, Equals(False))
        self.assertThat(len(found.cores), Equals(4))

    def test_the_first_cpus_are_offline(self):
        host = FakeHost(cells=2, cores=2, threads=2, offline=(0, 1, 4))
        host.write(self.root)
        self.assertThat(reader.read(self.root), Equals(host.inventory()))

    def test_a_device_that_cannot_be_read(self):
        disks = (FakeDisk('sda'), FakeDisk('sdb'))
        nics = (FakeNic('eth0'), FakeNic('eth1'))
        FakeHost(disks=disks, nics=nics).write(self.root)
        self.put('sys/class/block/sda/size', 'many')
        self.put('sys/class/net/eth0/type', '?')
        found = reader.read(self.root)
        self.assertThat([d.name for d in found.disks], Equals(['sdb']))
        self.assertThat([n.name for n in found.nics], Equals(['eth1']))
        told = ' '.join(found.oddities)
        self.assertThat(told, Contains('sda/size'))
        self.assertThat(told, Contains('eth0/type'))

    def test_a_function_that_cannot_be_read(self):
        FakeHost(pfs=(FakePf('eth0'), FakePf('eth1'))).write(self.root)
        self.put('sys/bus/pci/devices/0000:11:00.0/numa_node', 'here')
        found = reader.read(self.root)
        self.assertThat('0000:11:00.0' in found.device, Equals(False))
        self.assertThat('0000:12:00.0' in found.device, Equals(True))

    def test_values_in_messages_are_cut_short(self):
        FakeHost(cells=1).write(self.root)
        self.put(f'{self.cpu}/online', 'x' * 4000)
        self.assertThat(len(self.refused()), LessThan(400))
        self.put(f'{self.cpu}/online', '0')
        pool = f'{self.node}/node0/hugepages/hugepages-2048kB'
        self.put(f'{pool}/nr_hugepages', 'y' * 4000)
        told = ' '.join(reader.read(self.root).oddities)
        self.assertThat(len(told), LessThan(1000))


class TestCells(TreeTest):
    def read(self):
        return reader.read(self.root)

    def told(self):
        return ' '.join(self.read().oddities)

    def test_cpu_in_no_cell(self):
        FakeHost(cells=2, cores=1, threads=1).write(self.root)
        self.put(f'{self.node}/node1/cpulist', '2')
        found = self.read()
        self.assertThat(found.cpu[3].cell, Equals(NO_CELL))
        self.assertThat(found.cell[1].cpus, Equals(frozenset((2,))))
        self.assertThat(self.told(), Contains('CPU 3 in no NUMA cell'))

    def test_cpu_in_no_cell_takes_no_vcpu(self):
        FakeHost(cells=2, cores=1, threads=1).write(self.root)
        self.put(f'{self.node}/node1/cpulist', '2')
        policy = Policy(dedicated_cpus=frozenset(range(4)))
        grid = Grid(self.read(), policy)
        self.assertThat(grid.dedicated, Equals(frozenset((0, 1, 2))))

    def test_cpu_in_two_cells(self):
        FakeHost(cells=2, cores=1, threads=1).write(self.root)
        self.put(f'{self.node}/node1/cpulist', '1-3')
        found = self.read()
        self.assertThat([cell.id for cell in found.cells], Equals([0]))
        self.assertThat(self.told(), Contains('cell 1 claims CPU 1 of cell 0'))

    def test_cells_that_are_all_the_same(self):
        FakeHost(cells=4, cores=1, threads=1).write(self.root)
        for number in range(4):
            self.put(f'{self.node}/node{number}/cpulist', '0-7')
        (cell,) = self.read().cells
        self.assertThat(cell.cpus, Equals(frozenset(range(8))))

    def test_memory_of_a_gpu(self):
        FakeHost(cells=1, memory_cells=1, cell_ids=(0, 255)).write(self.root)
        self.assertThat(len(self.read().cells), Equals(2))
        self.put(
            'proc/driver/nvidia/gpus/0004:04:00.0/numa_status',
            'Node:      255\nStatus:    online',
        )
        (cell,) = self.read().cells
        self.assertThat(cell.id, Equals(0))

    def test_cells_with_masks(self):
        FakeHost(cells=2, cores=1, threads=1).write(self.root)
        for cell, mask in enumerate(('3', '00000000,0000000c')):
            self.unlink(f'{self.node}/node{cell}/cpulist')
            self.put(f'{self.node}/node{cell}/cpumap', mask)
        found = reader.read(self.root)
        self.assertThat(found.cell[1].cpus, Equals(frozenset((2, 3))))

    def test_no_memory_told(self):
        FakeHost(cells=0).write(self.root)
        self.unlink('proc/meminfo')
        self.assertThat(self.read().memory_bytes, Equals(0))
        self.assertThat(self.told(), Contains('/proc/meminfo does not show'))

    def test_memory_of_a_cell_not_told(self):
        FakeHost(cells=2).write(self.root)
        self.unlink(f'{self.node}/node1/meminfo')
        found = reader.read(self.root)
        self.assertThat(found.cell[1].memory_bytes, Equals(0))
        self.assertThat(found.cell[0].memory_bytes, GreaterThan(0))
        self.assertThat(self.told(), Contains('node1/meminfo'))

    def test_meminfo_of_another_shape(self):
        for text, total in (
            ('', 0),
            ('MemTotal: much kB', 0),
            ('MemTotal: 4 kB', 4096),
            ('Node 0 MemTotal: 4 kB\nNode 0 MemFree: x kB', 4096),
        ):
            FakeHost(cells=1).write(self.root)
            self.put(f'{self.node}/node0/meminfo', text)
            cell = self.read().cells[0]
            self.assertThat(
                (cell.memory_bytes, cell.free_memory_bytes),
                Equals((total, 0)),
            )
            self.assertThat(self.told(), Contains('MemFree'))
            self.root = self.useFixture(fixtures.TempDir()).path

    def test_pools_of_the_host_are_those_of_its_only_cell(self):
        FakeHost(cells=1).write(self.root)
        base = 'sys/kernel/mm/hugepages/hugepages-2048kB'
        self.put(f'{base}/nr_hugepages', '7')
        self.put(f'{base}/free_hugepages', '5')
        found = reader.read(self.root)
        self.assertThat(found.cells[0].pages, Equals((PagePool(2048, 7, 5),)))

    def test_pools_of_the_host_are_not_shared_out(self):
        FakeHost(cells=2).write(self.root)
        base = 'sys/kernel/mm/hugepages/hugepages-2048kB'
        self.put(f'{base}/nr_hugepages', '7')
        self.put(f'{base}/free_hugepages', '5')
        found = reader.read(self.root)
        self.assertThat(found.cells[0].pages, Equals(()))

    def test_distances_of_another_number(self):
        FakeHost(cells=2).write(self.root)
        self.put(f'{self.node}/node0/distance', '10 20 30')
        self.assertThat(reader.read(self.root).cell[0].distances, Equals({}))

    def test_page_size_that_was_written_down(self):
        FakeHost(cells=1).write(self.root)
        self.unlink('proc/self/auxv')
        self.assertThat(reader.read(self.root).page_size_kib, Equals(4))
        self.put('proc/hwloc-nofile-info', 'OSName: Linux\nPageSize: 65536')
        self.assertThat(reader.read(self.root).page_size_kib, Equals(64))
