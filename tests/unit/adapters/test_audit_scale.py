"""The cost of an audit: linear in guests and in processes, by counts."""

import collections

import fixtures
import testtools

from kvm_tuning.adapters import audit
from kvm_tuning.core import domain
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.host import configuration
from kvm_tuning.host.access.proc import Process
from tests.fixtures.many_guests import ManyGuests


class AuditScaleTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.reads = collections.Counter()
        self.parsed = collections.Counter()
        self.count(Process, '_read', self.reads, lambda p, name, *_: p.pid)
        self.count(domain, '_parse', self.parsed, lambda xml, *_: xml)

    def count(self, owner, name, counter, key):
        original = getattr(owner, name)

        def counted(*args):
            counter[key(*args)] += 1
            return original(*args)

        self.patch(owner, name, counted)

    def audit(self, guests, others=0, names=(), **how):
        root = self.useFixture(fixtures.TempDir()).path
        self.store = ManyGuests(root, guests, others, **how)
        settings = configuration.load(root)
        self.reads.clear()
        self.parsed.clear()
        return audit.audit(self.store, settings, names, root=root)

    def test_each_document_is_parsed_once(self):
        found = self.audit(4)
        self.assertEqual(4, len(found))
        # The definition and what runs, which are alike here.
        self.assertEqual({2}, set(self.parsed.values()))
        self.assertEqual(4, len(self.parsed))

    def test_other_processes_are_looked_at_once_whatever_the_guests(self):
        for guests in (1, 5):
            self.audit(guests, 30)
            others = {
                pid: count
                for pid, count in self.reads.items()
                if pid >= ManyGuests.OTHERS
            }
            self.assertEqual(30, len(others))
            # Its name, and whether it is a kernel thread.
            self.assertEqual({2}, set(others.values()))

    def test_other_processes_without_pid_files(self):
        self.audit(5, 30, pid_files=False)
        others = [
            n for pid, n in self.reads.items() if pid >= ManyGuests.OTHERS
        ]
        # Its arguments, its name, and whether it is a kernel thread.
        self.assertEqual([3] * 30, others)

    def test_a_guest_costs_the_same_among_many(self):
        costs = []
        for guests in (2, 12):
            self.audit(guests)
            costs.append(self.reads[ManyGuests.FIRST])
        self.assertEqual(costs[0], costs[1])

    def test_findings_do_not_grow_with_pairs_of_guests(self):
        for guests in (3, 12):
            found = self.audit(guests, shared=True)
            for each in found:
                twice = [
                    f for f in each.findings if f.code == 'pcpu-claimed-twice'
                ]
                self.assertEqual(1, len(twice))
                self.assertEqual(Severity.ERROR, twice[0].severity)
                self.assertTrue(twice[0].found.startswith('0-1 also held by'))
            self.assertThat(
                max(len(each.findings) for each in found),
                testtools.matchers.LessThan(10),
            )
        self.assertIn('and 6 more', twice[0].found)
        self.assertNotIn('guest11 ', twice[0].found)

    def test_a_guest_is_not_another_to_itself(self):
        (found,) = self.audit(1)
        self.assertEqual(
            [], [f.code for f in found.findings if f.code.startswith('pcpu')]
        )

    def test_one_of_them(self):
        (found,) = self.audit(5, shared=True, names=['guest3'])
        self.assertEqual('guest3', found.guest)
        (twice,) = [
            f for f in found.findings if f.code == 'pcpu-claimed-twice'
        ]
        self.assertIn('guest0, guest1, guest2, guest4', twice.found)

    def test_one_that_is_a_qemu_by_its_arguments_alone(self):
        root = self.useFixture(fixtures.TempDir()).path
        store = ManyGuests(root, 1, pid_files=False)
        (home,) = store.root.glob('proc/[0-9]*')
        (home / 'cgroup').write_text('0::/user.slice/x.scope\n')
        (found,) = audit.audit(store, configuration.load(root), root=root)
        (claimed,) = [f for f in found.findings if f.code == audit.CLAIMED]
        self.assertEqual(Severity.UNKNOWN, claimed.severity)
        (home / 'exe').unlink()
        (found,) = audit.audit(store, configuration.load(root), root=root)
        self.assertEqual(
            [audit.NOT_OBSERVED], [f.code for f in found.findings]
        )
