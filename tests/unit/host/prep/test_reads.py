"""How often a run reads each file of /sys: not once for every setting."""

from collections import Counter

import fixtures
import testtools

from kvm_tuning.host import configuration
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import configured
from tests.fixtures import prepared
from tests.fixtures.fake_cards import I350
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

#: Reads of one file by one undo: the plan of the setting, the write, what is
#: read back, and the inventory.
MOST = 5


class CountedTree(fixtures.Fixture):
    """Counts the reads of each file and folder of /sys."""

    def _setUp(self):
        self.reads = Counter()
        for name in ('_read', 'names'):
            real = getattr(Tree, name)

            def counted(tree, path, *words, _real=real, _name=name):
                if path.startswith('sys/'):
                    self.reads[_name, path] += 1
                return _real(tree, path, *words)

            self.useFixture(
                fixtures.MonkeyPatch(
                    f'kvm_tuning.host.access.sysfs.Tree.{name}', counted
                )
            )

    def take(self):
        found, self.reads = self.reads, Counter()
        return found


class ReadsTest(testtools.TestCase):
    def counts(self, ports):
        """Return the reads of an apply and an undo of ``ports`` settings."""
        root = self.useFixture(fixtures.TempDir()).path
        pfs = tuple(FakePf(f'eth{n}', **I350) for n in range(ports))
        FakeHost(cells=1, cores=2, pfs=pfs).write(root)
        kernel = FakeKernel(root)
        add_memory_files(kernel)
        path = 'etc/kvm-tuning/kvm-tuning.conf'
        kernel.put(path, '[sriov]\nvfs = driver:igb=2\n')
        conf = configuration.load(root)
        host = Host(kernel.tree())
        items = configured.items(conf, host)
        terms = configured.terms(conf, host)
        counted = self.useFixture(CountedTree())
        done = prepared.apply(kernel, items, terms)
        self.assertEqual((ports, []), (len(done.changed), done.failed))
        applied = counted.take()
        done = prepared.take_back(kernel, terms)
        self.assertEqual((ports, []), (len(done.changed), done.failed))
        return applied, counted.take()

    def test_twelve_settings(self):
        for name, reads in zip(
            ('apply', 'undo'), self.counts(12), strict=True
        ):
            self.assertLessEqual(
                max(n for (how, _path), n in reads.items() if how == '_read'),
                MOST,
                f'{name}: {reads.most_common(3)}',
            )

    def test_the_cost_is_linear(self):
        for few, many in zip(self.counts(4), self.counts(12), strict=True):
            self.assertLess(many.total(), 4 * few.total())
