"""Where a guest's memory is, by what the kernel counts anyway."""

from pathlib import Path

import fixtures
import testtools

from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests.memory_use import Reader

PID = 77
SCOPE = 'machine.slice/machine-qemu\\x2d3\\x2dweb.scope'
STATUS = 'VmRSS:\t  102400 kB\nVmSwap:\t 12 kB\nVmLck:\t 34 kB\n'
V2 = (
    'anon N0=52428800 N1=41943040\nfile N0=999999999 N1=0\n'
    'shmem N0=10485760 N1=0\nanon_thp N0=2097152 N1=4194304\n'
)
V1 = (
    'total=9 N0=9 N1=0\nanon=1 N0=1 N1=0\n'
    'hierarchical_total=9 N0=9\nhierarchical_anon=25600 N0=25000 N1=600\n'
)
NUMA_MAPS = (
    '7f00 default anon=10 N0=10 kernelpagesize_kB=4\n'
    '7f01 bind:1 anon=3 N1=3 kernelpagesize_kB=2048\n'
)


class MemoryUseTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.useFixture(fixtures.TempDir()).path)
        self.put(f'proc/{PID}/status', STATUS)

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, walk=False):
        return Reader(str(self.root), 4, walk).read(
            Process(PID, str(self.root))
        )

    def v2(self, group=SCOPE, below='/libvirt/vcpu0'):
        self.put(f'proc/{PID}/cgroup', f'0::/{group}{below}\n')
        self.put(f'sys/fs/cgroup/{group}/memory.numa_stat', V2)

    def test_version_2(self):
        self.v2()
        found = self.read()
        self.assertEqual(102400, found.resident_kib)
        self.assertEqual((12, 34), (found.swapped_kib, found.locked_kib))
        # The page cache of its images is not its memory.
        self.assertEqual({0: 61440, 1: 40960}, found.cells_kib)
        self.assertEqual(6144, found.transparent_kib)

    def test_groups_of_others_that_run_qemu(self):
        for group in (
            'qemu.slice/100.scope',
            'machine/qemu-1-web.libvirt-qemu',
        ):
            self.v2(group, '')
            self.assertEqual({0: 61440, 1: 40960}, self.read().cells_kib)

    def test_huge_pages_are_counted_elsewhere(self):
        self.v2()
        self.put(f'proc/{PID}/status', f'{STATUS}HugetlbPages:\t 4194304 kB\n')
        self.assertIsInstance(self.read().cells_kib, Unknown)
        self.put(
            f'sys/fs/cgroup/{SCOPE}/hugetlb.1GB.numa_stat',
            'total=4294967296 N0=1073741824 N1=3221225472\n',
        )
        found = self.read()
        self.assertEqual(4194304, found.huge_kib)
        self.assertEqual(4296704, found.resident_kib)
        self.assertEqual(
            {0: 61440 + (1 << 20), 1: 40960 + (3 << 20)}, found.cells_kib
        )

    def test_version_1(self):
        self.put(
            f'proc/{PID}/cgroup',
            f'9:cpuset:/\n5:memory:/{SCOPE}\n1:name=systemd:/{SCOPE}\n',
        )
        base = f'sys/fs/cgroup/memory/{SCOPE}'
        self.put(f'{base}/memory.numa_stat', V1)
        self.put(f'{base}/memory.stat', 'rss_huge 1\ntotal_rss_huge 8388608\n')
        found = self.read()
        self.assertEqual({0: 100000, 1: 2400}, found.cells_kib)
        self.assertEqual(8192, found.transparent_kib)

    def test_a_group_that_is_not_its_own(self):
        for group in ('user.slice/user-0.slice/session-1.scope', 'x/../y', ''):
            self.v2(group, '')
            found = self.read()
            self.assertEqual('to read its page tables', found.cells_kib.needs)
            self.assertIsInstance(found.transparent_kib, Unknown)

    def test_a_walk(self):
        self.put(f'proc/{PID}/numa_maps', NUMA_MAPS)
        self.put(
            f'proc/{PID}/smaps_rollup',
            'Rss: 102400 kB\nAnonHugePages:  2048 kB\nShmemPmdMapped: 1 kB\n',
        )
        found = self.read(walk=True)
        self.assertEqual({0: 40, 1: 6144}, found.cells_kib)
        self.assertEqual(2049, found.transparent_kib)
        self.assertIsInstance(self.read().cells_kib, Unknown)

    def test_a_group_that_cannot_be_read(self):
        self.v2()
        path = self.root / f'sys/fs/cgroup/{SCOPE}/memory.numa_stat'
        for text in (b'\xff\xfe', b'anon\nanon N=1 N0=x N9', b''):
            path.write_bytes(text)
            self.assertIsInstance(self.read().cells_kib, Unknown)
