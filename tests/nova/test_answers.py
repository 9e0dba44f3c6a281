"""The fit is computed once for filter and weigher, and again on a change."""

from types import SimpleNamespace

import fixtures
from nova import objects
from nova.scheduler import host_manager

from kvm_tuning.adapters.nova.fit import context, fit
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.scheduler_filter import KvmTuningFilter
from kvm_tuning.adapters.nova.scheduler_weigher import KvmTuningWeigher
from kvm_tuning.adapters.nova.scheduling import answers, hosts
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
        near = context.locality(
            {context.LOCALITY: 'l3'}, context.Preferences()
        )

        def other_host(pcpus=0):
            # What a consumption and an update leave is another object.
            self.host.numa_topology = test_fit.host(2)
            for cell in self.host.numa_topology.cells:
                cell.pinned_cpus = set(sorted(cell.pcpuset)[:pcpus])

        changes = (
            other_host,
            lambda: other_host(8),
            lambda: setattr(self, 'what', FitContext(self.what.domains, near)),
            lambda: setattr(self.spec, 'numa_topology', test_fit.guest([4])),
            lambda: setattr(self.spec, 'pci_requests', SimpleNamespace(
                requests=[])),
            lambda: answers.forget(self.host),
        )  # fmt: skip
        self.find()
        for number, change in enumerate(changes, 2):
            change()
            self.find()
            self.assertEqual(number, self.searches)
        self.assertIsNotNone(self.find())
        other_host(1 << 10)
        self.assertIsNone(self.find())

    def test_another_guest_is_another_question(self):
        sizes = [[8], [4], [2, 2], [64]]
        found = []
        for cells in [*sizes, *sizes]:
            self.spec.numa_topology = test_fit.guest(cells)
            answer = self.find()
            found.append(answer and [c.column for c in answer.choices])
        self.assertEqual(found[:4], found[4:])
        self.assertEqual([1, 1, 2], list(map(len, found[:3])))
        self.assertIsNone(found[3])

    def test_a_consumption_forgets(self):
        hosts.install()
        self.addCleanup(hosts.uninstall)
        state = host_manager.HostState('h', 'n', 'cell')
        state.numa_topology, state.pci_stats = test_fit.host(2), None
        self.host = state
        spec = objects.RequestSpec(
            flavor=objects.Flavor(
                extra_specs={}, memory_mb=64, vcpus=8, root_gb=0,
                ephemeral_gb=0,
            ),
            numa_topology=test_fit.guest([8]),
            pci_requests=None, requested_resources=[],
        )  # fmt: skip
        self.spec = spec
        self.find()
        self.assertIn('_kvm_tuning_answer', state.__dict__)
        there = state.numa_topology
        state.free_ram_mb = state.free_disk_mb = state.vcpus_used = 0
        state._locked_consume_from_request(spec)
        self.assertNotIn('_kvm_tuning_answer', state.__dict__)
        # So Nova has it, and the answers lean on it.
        self.assertIsNot(there, state.numa_topology)
        self.assertEqual(
            8, sum(len(c.pinned_cpus) for c in state.numa_topology.cells)
        )


class WithoutStatsTest(test_fit.FitBase):
    """Nova sets ``HostState.stats`` with the first update of a host."""

    def setUp(self):
        super().setUp()
        self.addCleanup(hosts.uninstall)
        self.filter, self.weigher = KvmTuningFilter(), KvmTuningWeigher()
        self.state = host_manager.HostState('h', 'n', 'cell')
        self.assertFalse(hasattr(self.state, 'stats'))
        self.state.allocation_candidates = [{'mappings': {}}]

    def spec(self, numa_topology):
        return objects.RequestSpec(
            flavor=objects.Flavor(extra_specs={'hw:cpu_policy': 'dedicated'}),
            image=objects.ImageMeta(properties=objects.ImageMetaProps()),
            numa_topology=numa_topology,
            pci_requests=None,
            instance_uuid='5f1d8d3c-3f4e-4c0a-9a6e-0c6a3c1f7d11',
        )

    def test_nova_itself_answers(self):
        self.assertFalse(
            self.filter.host_passes(self.state, self.spec(test_fit.guest([4])))
        )
        self.assertTrue(self.filter.host_passes(self.state, self.spec(None)))
        self.state.numa_topology = test_fit.host(2)
        self.state.cpu_allocation_ratio = 1.0
        self.state.ram_allocation_ratio = 1.0
        self.assertTrue(
            self.filter.host_passes(self.state, self.spec(test_fit.guest([4])))
        )

    def test_it_weighs_as_one_that_cannot_be_compared(self):
        spec = self.spec(test_fit.guest([4]))
        each = SimpleNamespace(obj=self.state)
        weights = self.weigher.weigh_objects([each, each], spec)
        self.assertEqual(1, len(set(weights)))
