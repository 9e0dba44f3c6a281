"""The fit is computed once for filter and weigher, and again on a change."""

from types import SimpleNamespace

import fixtures

from kvm_tuning.adapters.nova.fit import context, fit
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.scheduling import answers
from tests.nova import test_fit


class AnswersTest(test_fit.FitBase):
    def setUp(self):
        super().setUp()
        self.searches, search = 0, fit.search

        def counted(*args, **kwargs):
            self.searches += 1
            return search(*args, **kwargs)

        self.useFixture(
            fixtures.MonkeyPatch(f'{fit.__name__}.search', counted)
        )
        self.host = SimpleNamespace(
            numa_topology=test_fit.host(2), pci_stats=None
        )
        self.spec = SimpleNamespace(
            numa_topology=test_fit.guest([8]), pci_requests=None
        )
        self.what = FitContext(test_fit.DOMAINS)

    def find(self, mapping=None):
        return answers.find(self.host, self.spec, self.what, mapping, None)

    def test_the_same_question_is_answered_once(self):
        found = self.find({'a': ['1']})
        # Without devices all candidates are alike.
        self.assertIs(found, self.find({'b': ['2']}))
        self.assertEqual(1, self.searches)

    def test_a_refusal_is_kept_too(self):
        self.spec.numa_topology = test_fit.guest([64])
        self.assertIsNone(self.find())
        self.assertIsNone(self.find())
        self.assertEqual(1, self.searches)

    def test_whatever_changes_asks_again(self):
        cell, other = self.host.numa_topology.cells
        near = context.locality(
            {context.LOCALITY: 'l3'}, context.Preferences()
        )

        def rest():
            other.pinned_cpus = set(other.pcpuset)

        changes = (
            lambda: cell.pinned_cpus.add(0),
            lambda: setattr(cell, 'memory_usage', 100),
            lambda: setattr(cell, 'cpu_usage', 3),
            lambda: setattr(cell.mempages[0], 'used', 5),
            lambda: setattr(self, 'what', FitContext(self.what.domains, near)),
            lambda: setattr(self.spec, 'numa_topology', test_fit.guest([4])),
            rest,
        )
        self.find()
        for number, change in enumerate(changes, 2):
            change()
            self.find()
            self.assertEqual(number, self.searches)
        cell.pinned_cpus = set(cell.pcpuset)
        self.assertIsNone(self.find())
