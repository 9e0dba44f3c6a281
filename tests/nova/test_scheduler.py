"""The scheduler's half: the filter, the weigher, traits and stats."""

import fixtures
from nova import objects
from nova.scheduler import host_manager

from kvm_tuning.adapters.nova.fit import context, fit, patch
from kvm_tuning.adapters.nova.scheduling import hosts, stats
from kvm_tuning.core.demands import Locality
from tests.nova import base

PACKAGE = 'kvm_tuning.adapters.nova'
PINNED = {'hw__cpu_policy': 'dedicated'}


class SchedulerTest(base.ServersTest):
    ADDITIONAL_FILTERS = ['KvmTuningFilter']

    def setUp(self):
        self.addCleanup(hosts.uninstall)
        super().setUp()

    def _setup_scheduler_service(self):
        self.flags(
            available_filters=[
                'nova.scheduler.filters.all_filters',
                f'{PACKAGE}.scheduler_filter.KvmTuningFilter',
            ],
            weight_classes=[
                'nova.scheduler.weights.all_weighers',
                f'{PACKAGE}.scheduler_weigher.KvmTuningWeigher',
            ],
            group='filter_scheduler',
        )
        return super()._setup_scheduler_service()

    def test_strict_locality_is_seen_by_the_scheduler(self):
        """The claims never fail: the filter knows the L3 domains."""
        self.start('one')
        self.start('two')
        specs = {
            'kvm__cpu_locality': 'l3',
            'kvm__cpu_locality_policy': 'strict',
            **PINNED,
        }
        placed = [self.host(self.boot(**specs)) for _number in range(4)]
        self.assertEqual(['one', 'one', 'two', 'two'], sorted(placed))
        before = hosts.calls['_locked_consume_from_request']
        server = self.boot(expected_state='ERROR', **specs)
        self.assertIn('No valid host', server['fault']['message'])
        # It was the filter that said no: no host was chosen.
        self.assertEqual(before, hosts.calls['_locked_consume_from_request'])

    def test_the_weigher_prefers_where_the_guest_stays_whole(self):
        self.flags(
            packing_host_numa_cells_allocation_strategy=True, group='compute'
        )
        self.start('one')
        self.start('two')
        first = self.host(self.boot(**PINNED))
        # pCPUs 2 and 3 are all of their domain: a guest of two takes it
        # whole, and of two such hosts the one that is used already.
        second = self.boot(vcpus=2, **PINNED)
        self.assertEqual(first, self.host(second))
        self.assertEqual(first, self.host(self.boot(vcpus=2, **PINNED)))
        self._delete_server(second)
        # Four pCPUs are left there, in two domains.
        server = self.boot(**PINNED)
        self.assertNotEqual(first, self.host(server))
        pins = self.pins(server, self.host(server))
        self.assertIn(pins, base.L3)

    def test_a_profile_is_seen_by_claim_filter_and_weigher(self):
        seen, search = [], fit.search

        def watched(*args, **kwargs):
            seen.append(context.current().locality)
            return search(*args, **kwargs)

        self.useFixture(
            fixtures.MonkeyPatch(f'{fit.__name__}.search', watched)
        )
        self.start('one')
        self.start('two')
        self.boot(kvm__profile='network', **PINNED)
        self.assertEqual({Locality.NUMA}, {found.level for found in seen})
        self.assertEqual(
            {"kvm:cpu_locality=numa (profile 'network')"},
            {found.asked_by for found in seen},
        )

    def test_a_host_without_the_extension_keeps_novas_answer(self):
        self.flags(compute_driver='libvirt.LibvirtDriver')
        self.start('plain')
        server = self.boot(**PINNED)
        self.assertEqual('plain', self.host(server))
        node = objects.ComputeNode.get_by_nodename(
            base.context.get_admin_context(), 'plain'
        )
        self.assertIsNone(stats.read(node.stats))

    def test_what_a_host_publishes(self):
        self.start()
        node = objects.ComputeNode.get_by_nodename(
            base.context.get_admin_context(), 'compute1'
        )
        self.assertEqual('0-3;4-7;8-11', node.stats[stats.L3])
        self.assertEqual(
            tuple(map(frozenset, base.L3)), stats.read(node.stats)[0]
        )
        found = self._get_provider_traits(self.compute_rp_uuids['compute1'])
        for trait in ('', '_L3', '_VHOST', '_IO_URING'):
            self.assertIn(f'CUSTOM_KVM_TUNING{trait}', found)

    def test_traits_that_no_longer_hold_go(self):
        self.start()
        self.readers.works = base.Capabilities()
        self._run_periodics()
        self._run_periodics()
        found = self._get_provider_traits(self.compute_rp_uuids['compute1'])
        self.assertIn('CUSTOM_KVM_TUNING', found)
        self.assertNotIn('CUSTOM_KVM_TUNING_VHOST', found)

    def test_uninstalling_is_complete(self):
        hosts.install()
        hosts.uninstall()
        self.assertEqual(
            'nova.scheduler.host_manager',
            host_manager.HostState._locked_consume_from_request.__module__,
        )
        self.assertFalse(context.known())
        self.assertEqual(
            'nova.virt.hardware',
            patch.stock('numa_fit_instance_to_host').__module__,
        )
