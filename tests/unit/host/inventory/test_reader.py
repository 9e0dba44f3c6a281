"""Hosts that exist, hosts that never were, and broken ones."""

import os
import tempfile

import fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Equals, Is

from kvm_tuning.cmd import topology_report
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import NO_CELL, Inventory
from kvm_tuning.host.inventory import reader
from tests.fixtures import fake_tree, memory_dir
from tests.fixtures.fake_host import FakeDisk, FakeHost, FakeNic, FakePf
from tests.fixtures.host_dumps import NAMES, HostDump, available

_pages = st.dictionaries(
    st.sampled_from([64, 2048, 1048576]),
    st.integers(min_value=0, max_value=4),
    max_size=2,
)
_cell = st.one_of(st.none(), st.integers(min_value=0, max_value=3))
_pfs = st.builds(
    lambda cell, vfs, driver: (cell, vfs, driver),
    _cell,
    st.integers(min_value=0, max_value=7),
    st.sampled_from([None, 'vfio-pci', 'igbvf']),
)


@st.composite
def hosts(draw: st.DrawFn) -> FakeHost:
    """Return hosts of up to 4 cells and 64 CPUs, some of them offline."""
    cells = draw(st.integers(min_value=0, max_value=3))
    memory_cells = draw(st.integers(min_value=0, max_value=1)) if cells else 0
    ids = draw(
        st.none()
        | st.lists(
            st.integers(min_value=0, max_value=99),
            min_size=max(cells, 1) + memory_cells,
            max_size=max(cells, 1) + memory_cells,
            unique=True,
        ).map(lambda found: tuple(sorted(found)))
        if cells
        else st.none()
    )
    pfs = draw(st.lists(_pfs, max_size=2))
    kinds = st.sampled_from(
        ['physical', 'bridge', 'bond', 'vlan', 'tap', 'macvtap', 'virtual']
    )
    nics = draw(st.lists(st.tuples(kinds, _cell, st.booleans()), max_size=3))
    disks = draw(st.lists(st.tuples(_cell, st.booleans()), max_size=2))
    return FakeHost(
        cells=cells,
        l3_per_cell=draw(st.integers(min_value=0, max_value=2)),
        cores=draw(st.integers(min_value=1, max_value=3)),
        threads=draw(st.sampled_from([1, 2, 4])),
        small_cores=draw(st.integers(min_value=0, max_value=2)),
        huge_pages=draw(_pages),
        memory_gib=draw(st.integers(min_value=1, max_value=64)),
        page_size_kib=draw(st.sampled_from([4, 16, 64])),
        offline=draw(
            st.lists(
                st.integers(min_value=1, max_value=9), max_size=4, unique=True
            ).map(tuple)
        ),
        numbering=draw(st.sampled_from(['linear', 'adjacent'])),
        cells_per_package=draw(st.sampled_from([1, 2])),
        memory_cells=memory_cells,
        cell_ids=ids,
        pfs=tuple(
            FakePf(f'pf{index}', cell=cell, vfs=vfs, vf_driver=driver)
            for index, (cell, vfs, driver) in enumerate(pfs)
        ),
        nics=tuple(
            FakeNic(f'nic{index}', cell=cell, kind=kind, up=up)
            for index, (kind, cell, up) in enumerate(nics)
        ),
        disks=tuple(
            FakeDisk(f'disk{index}', cell=cell, rotational=rotational)
            for index, (cell, rotational) in enumerate(disks)
        ),
    )


class TestFakeHosts(testtools.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(hosts(), st.booleans())
    def test_what_was_written_is_read(self, host, old_kernel):
        with tempfile.TemporaryDirectory(dir=memory_dir.place()) as root:
            host.write(root, old_kernel=old_kernel)
            self.assertThat(reader.read(root), Equals(host.inventory()))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_broken_trees_are_read_or_refused(self, data):
        host = FakeHost(
            l3_per_cell=1,
            cores=1,
            huge_pages={2048: 4},
            pfs=(FakePf('pf0', vfs=2),),
            nics=(FakeNic('br0', kind='bridge'),),
            disks=(FakeDisk('nvme0n1'),),
        )
        with tempfile.TemporaryDirectory(dir=memory_dir.place()) as root:
            host.write(root, old_kernel=data.draw(st.booleans()))
            paths = sorted(
                os.path.join(directory, name)
                for directory, _directories, names in os.walk(root)
                for name in names
            )
            for path in data.draw(
                st.lists(st.sampled_from(paths), max_size=4, unique=True)
            ):
                os.unlink(path)
                damage = data.draw(
                    st.sampled_from(['gone', 'bytes', 'text', 'link'])
                )
                if damage == 'link':
                    os.symlink(data.draw(st.sampled_from(paths)), path)
                elif damage != 'gone':
                    content = (
                        st.binary(max_size=20)
                        if damage == 'bytes'
                        else st.sampled_from(
                            [b'-1', b'0', b'3', b'0-3', b'ff', b'[', b'9' * 9]
                        )
                    )
                    with open(path, 'wb') as stream:
                        stream.write(data.draw(content))
            try:
                found = reader.read(root)
            except InventoryUnreadable:
                return
            self.assertThat(found, IsConsistent())


class IsConsistent:
    """Matches an inventory whose sets are partitions of its CPUs."""

    def match(self, found: Inventory) -> None:
        for sets in (found.cores, found.packages):
            assert sum(map(len, sets)) == len(found.cpus)
            assert frozenset().union(*sets) == found.online
        assert sum(map(len, found.l3)) <= len(found.cpus)
        for cpu in found.cpus:
            assert cpu.id in cpu.core
            assert cpu.cell == NO_CELL or cpu.id in found.cell[cpu.cell].cpus
            assert cpu.l3 is None or cpu.id in cpu.l3
        placed = [cpu for cpu in found.cpus if cpu.cell != NO_CELL]
        assert sum(len(cell.cpus) for cell in found.cells) == len(placed)


class TreeTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.cpu = 'sys/devices/system/cpu'
        self.node = 'sys/devices/system/node'

    def put(self, path: str, text: str) -> None:
        os.makedirs(os.path.dirname(f'{self.root}/{path}'), exist_ok=True)
        with open(f'{self.root}/{path}', 'w') as stream:
            stream.write(text)

    def unlink(self, path: str) -> None:
        os.unlink(f'{self.root}/{path}')

    def refused(self) -> str:
        return str(
            self.assertRaises(InventoryUnreadable, reader.read, self.root)
        )


class TestCpus(TreeTest):
    def test_nothing_there(self):
        self.assertThat(self.refused(), Contains('no CPU'))

    def test_all_offline(self):
        self.put(f'{self.cpu}/online', '\n')
        self.assertThat(self.refused(), Contains('no CPU'))

    def test_without_topology_a_cpu_is_a_core(self):
        FakeHost(cells=0, threads=1, cores=2).write(self.root)
        for cpu in range(4):
            for name in os.listdir(f'{self.root}/{self.cpu}/cpu{cpu}'):
                if name == 'topology':
                    self.drop(f'{self.cpu}/cpu{cpu}/topology')
        found = reader.read(self.root)
        self.assertThat(
            found.cores, Equals(tuple(frozenset((c,)) for c in range(4)))
        )
        self.assertThat(found.cpus[0].package_id, Is(None))

    def drop(self, path: str) -> None:
        for name in os.listdir(f'{self.root}/{path}'):
            self.unlink(f'{path}/{name}')
        os.rmdir(f'{self.root}/{path}')

    def test_old_kernel_without_online_files(self):
        FakeHost(cells=0, threads=1).write(self.root, old_kernel=True)
        for cpu in range(1, 8):
            self.unlink(f'{self.cpu}/cpu{cpu}/online')
        self.drop(f'{self.cpu}/cpu3/topology')
        found = reader.read(self.root)
        self.assertThat(found.online, Equals(frozenset((0, 1, 2, 4, 5, 6, 7))))

    def test_packages_by_id_where_no_sets_are(self):
        FakeHost(cells=2, l3_per_cell=1, cores=1).write(self.root)
        for cpu in range(4):
            for name in ('core_siblings', 'core_siblings_list'):
                self.unlink(f'{self.cpu}/cpu{cpu}/topology/{name}')
        found = reader.read(self.root)
        self.assertThat(
            found.packages, Equals((frozenset((0, 2)), frozenset((1, 3))))
        )

    def test_newer_names_of_packages(self):
        FakeHost(cells=1, l3_per_cell=1, cores=2).write(self.root)
        for cpu in range(4):
            base = f'{self.cpu}/cpu{cpu}/topology'
            for name in ('core_siblings', 'core_siblings_list'):
                self.unlink(f'{base}/{name}')
            self.put(f'{base}/package_cpus_list', '0-1' if cpu < 2 else '2-3')
        found = reader.read(self.root)
        self.assertThat(
            found.packages, Equals((frozenset((0, 1)), frozenset((2, 3))))
        )

    def test_packages_that_contradict(self):
        # Cores are (0, 2) and (1, 3), and packages: none is cut.
        FakeHost(l3_per_cell=1, cores=1).write(self.root)
        for name in ('core_siblings', 'core_siblings_list'):
            self.put(f'{self.cpu}/cpu0/topology/{name}', '3')
        self.put(f'{self.cpu}/cpu0/topology/core_siblings_list', '0-1')
        found = reader.read(self.root)
        self.assertThat(
            found.packages, Equals((frozenset((0, 2)), frozenset((1, 3))))
        )
        self.assertThat(str(found.oddities), Contains('the package of CPU 2'))

    def test_siblings_that_contradict(self):
        FakeHost(cells=1, cores=2, threads=1).write(self.root)
        self.put(f'{self.cpu}/cpu0/topology/thread_siblings_list', '0-1')
        self.put(f'{self.cpu}/cpu2/topology/thread_siblings_list', '1-2')
        self.assertThat(self.refused(), Contains('thread siblings of CPU 2'))

    def test_masks_that_are_none(self):
        for text in ('-1', '0x3', '', '123456789', '3,'):
            root = self.useFixture(fixtures.TempDir()).path
            FakeHost(cells=1, cores=1).write(root, old_kernel=True)
            path = f'{root}/{self.cpu}/cpu0/topology/thread_siblings'
            with open(path, 'w') as stream:
                stream.write(text)
            error = self.assertRaises(InventoryUnreadable, reader.read, root)
            self.assertThat(str(error), Contains(path))

    def test_siblings_without_itself(self):
        FakeHost(cells=1, cores=2, threads=1).write(self.root)
        self.put(f'{self.cpu}/cpu0/topology/thread_siblings_list', '1')
        self.assertThat(self.refused(), Contains('thread siblings of CPU 0'))

    def test_no_id_is_minus_one(self):
        FakeHost(cells=1, cores=1).write(self.root)
        for cpu in range(4):
            base = f'{self.cpu}/cpu{cpu}/topology'
            self.put(f'{base}/physical_package_id', '-1')
            self.put(f'{base}/die_id', '-1')
        found = reader.read(self.root)
        self.assertThat(found.cpus[0].package_id, Is(None))
        self.assertThat(found.cpus[0].die_id, Is(None))


class TestNumbers(TreeTest):
    def test_more_digits_than_python_takes(self):
        self.put(f'{self.cpu}/online', '0')
        self.put(f'{self.node}/online', '0')
        self.put(f'{self.node}/node0/cpulist', '0')
        self.put(f'{self.node}/node0/distance', '9' * 5000)
        self.put(
            f'{self.node}/node0/meminfo', f'Node 0 MemTotal: {"9" * 5000} kB'
        )
        (cell,) = reader.read(self.root).cells
        self.assertEqual(0, cell.memory_bytes)


class TestCapacity(TreeTest):
    def setUp(self) -> None:
        super().setUp()
        FakeHost(cells=1, l3_per_cell=1, threads=1).write(self.root)

    def capacities(self) -> list[int | None]:
        return [cpu.capacity for cpu in reader.read(self.root).cpus]

    def test_favoured_cores_are_no_kind_of_their_own(self):
        for cpu, khz in enumerate((5000000, 5200000, 3900000, 3800000)):
            path = f'{self.cpu}/cpu{cpu}/cpufreq/cpuinfo_max_freq'
            self.put(path, str(khz))
        self.assertThat(
            self.capacities(), Equals([5200000, 5200000, 3900000, 3900000])
        )

    def test_capacity_before_frequency(self):
        for cpu in range(4):
            self.put(f'{self.cpu}/cpu{cpu}/cpufreq/cpuinfo_max_freq', '1')
            self.put(f'{self.cpu}/cpu{cpu}/cpu_capacity', '1024')
        self.assertThat(self.capacities(), Equals([1024] * 4))

    def test_some_without(self):
        self.put(f'{self.cpu}/cpu0/cpufreq/cpuinfo_max_freq', '1000')
        self.assertThat(self.capacities(), Equals([None] * 4))

    def test_kinds_by_their_perf_devices(self):
        self.put('sys/devices/cpu_core/cpus', '0-1')
        self.put('sys/devices/cpu_atom/cpus', '2-3')
        self.assertThat(self.capacities(), Equals([2, 2, 1, 1]))


class TestThisHost(testtools.TestCase):
    def test_page_size(self):
        found = reader.read('/', devices=False)
        self.assertThat(
            found.page_size_kib * 1024, Equals(os.sysconf('SC_PAGE_SIZE'))
        )
        self.assertThat(
            len(found.cpus), Equals(os.sysconf('SC_NPROCESSORS_ONLN'))
        )

    def test_after_a_change_of_user(self):
        if os.geteuid() != 0:
            self.skipTest('needs root, to stop being it')
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setresuid(65534, 65534, 65534)
                status = 0 if reader.read().page_size_kib else 1
            finally:
                os._exit(status)
        self.assertThat(os.waitpid(child, 0)[1], Equals(0))

    def test_devices_are_left_out(self):
        root = self.useFixture(fixtures.TempDir()).path
        host = FakeHost(pfs=(FakePf('pf0'),), disks=(FakeDisk('sda'),))
        fake_tree.write(host.inventory(), root)
        found = reader.read(root, devices=False)
        self.assertThat(
            (found.devices, found.nics, found.disks), Equals(((), (), ()))
        )
        self.assertThat(found.cpus, Equals(host.inventory().cpus))


class TestHostDumps(testtools.TestCase):
    """What hwloc says of real machines."""

    def check(self, name: str) -> None:
        if not available():
            self.skipTest('KVM_TUNING_HOST_DUMPS is not set')
        dump = self.useFixture(HostDump(name))
        found = topology_report.summary(reader.read(dump.root))
        self.assertThat(
            {key: found[key] for key in dump.expected}, Equals(dump.expected)
        )


for _number, _name in enumerate(NAMES):
    setattr(
        TestHostDumps,
        f'test_{_number:02}',
        lambda self, name=_name: self.check(name),
    )
