"""SIGKILL at every single write: apply and undo both reach a clean end."""

import os
import shutil

import fixtures
import testtools
from testtools.matchers import Equals

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal
from kvm_tuning.host.prep.apply import resume
from kvm_tuning.host.prep.groups import (
    block_scheduler,
    compaction,
    huge_pages,
    ksm,
    transparent_huge_pages,
)
from tests.fixtures import killed, prepared
from tests.fixtures.fake_host import FakeDisk, FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

_HOST = FakeHost(
    cells=1,
    l3_per_cell=0,
    cores=1,
    threads=1,
    huge_pages={2048: 10},
    disks=(FakeDisk('sda', rotational=True),),
)


def memory_items(root):
    """Yield goals of every memory setting, and of a scheduler."""
    host = Host(Tree(root))
    yield from ksm.plan(ksm.Wanted(True, False), ksm.read(host))
    thp = transparent_huge_pages
    yield from thp.plan(thp.Wanted('always', 'defer', '0'), thp.read(host))
    yield from compaction.plan(compaction.Wanted(0), compaction.read(host))
    yield from huge_pages.plan(
        huge_pages.Wanted({(0, 2048): 64}), huge_pages.read(host)
    )
    yield from block_scheduler.plan(
        block_scheduler.Wanted({'rotational': 'mq-deadline'}),
        block_scheduler.read(host),
    )


class KilledTest(testtools.TestCase):
    """Subclasses say what is applied to which tree."""

    items = staticmethod(memory_items)

    def setUp(self) -> None:
        super().setUp()
        self.origin = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.scratch = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.build(self.origin)
        self.before = prepared.snapshot(self.origin)
        self.made = f'{self.scratch}/made'
        shutil.copytree(self.origin, self.made, symlinks=True)
        self.apply(self.kernel(self.made))
        self.after = self.settled(self.made)

    def build(self, root: str) -> None:
        _HOST.write(root)
        add_memory_files(FakeKernel(root), ksm='1', shared=100)

    def kernel(self, root: str, kill_at: int | None = None) -> FakeKernel:
        return FakeKernel(root, kill_at=kill_at)

    def apply(self, kernel: FakeKernel) -> None:
        self.resume(kernel)
        done = prepared.apply(kernel, list(self.items(kernel.root)))
        if done.failed:
            raise AssertionError(done.failed)

    def undo(self, kernel: FakeKernel) -> None:
        done = prepared.take_back(kernel)
        if done.failed:
            raise AssertionError(done.failed)

    def settled(self, root: str) -> dict[str, str]:
        """Return a tree with what the journal says in it."""
        found = prepared.snapshot(root)
        found.pop(journal.PATH, None)
        for entry in journal.load(Tree(root)):
            # What undo goes by, in whatever order it came to be.
            self.assertThat(entry.open, Equals(False))
            found[f'journal {entry.address}'] = (
                f'{entry.before} {entry.wanted} {entry.got}'
            )
        return self.volatile(found)

    def volatile(self, found: dict[str, str]) -> dict[str, str]:
        for name in ('pages_shared', 'pages_sharing'):
            found.pop(f'{ksm.DIRECTORY}/{name}', None)
        return found

    def resume(self, kernel: FakeKernel) -> None:
        done = resume(prepared.context(kernel))
        if done.failed:
            raise AssertionError(done.failed)

    def mends(self, point: int, root: str) -> None:
        """Check that both ways lead to a clean end."""
        other = f'{root}.undo'
        shutil.copytree(root, other, symlinks=True)
        self.apply(self.kernel(root))
        self.assertThat(
            prepared.differences(self.settled(root), self.after),
            Equals({}),
            f'at {point}',
        )
        self.undo(self.kernel(other))
        self.assertThat(
            prepared.differences(
                self.volatile(prepared.snapshot(other)),
                self.volatile(dict(self.before)),
            ),
            Equals({}),
            f'at {point}',
        )
        shutil.rmtree(other)


class TestMemorySettings(KilledTest):
    def test_apply(self):
        points = 0
        for point, root in killed.each_point(
            self.origin, self.scratch, self.kernel, self.apply
        ):
            self.mends(point, root)
            points = point
        self.assertThat(points > 30, Equals(True))

    def test_undo(self):
        for point, root in killed.each_point(
            self.made, self.scratch, self.kernel, self.undo
        ):
            self.mends(point, root)

    def test_nothing_is_left_behind(self):
        self.undo(self.kernel(self.made))
        self.assertThat(
            os.listdir(f'{self.made}/var/lib/kvm-tuning'), Equals([])
        )
