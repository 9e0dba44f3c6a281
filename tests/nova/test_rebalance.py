"""nova-compute plans which servers of its host should exchange pCPUs."""

import json
import os

import fixtures
from nova import context, objects
from nova.db.main import api as db

from kvm_tuning.adapters.nova.compute import rebalance
from tests.nova import base

PINNED = {'hw__cpu_policy': 'dedicated'}


class ScatteredTest(base.ServersTest):
    """Two servers that share two L3 domains: each has a half of both."""

    def setUp(self):
        super().setUp()
        self.context = context.get_admin_context()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.queries = 0
        stock = db.instance_get_all_by_host_and_node

        def counted(*args, **kwargs):
            self.queries += 1
            return stock(*args, **kwargs)

        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.db.main.api.instance_get_all_by_host_and_node', counted
            )
        )
        self.start()
        self.flags(state_path=self.folder)

    def scattered(self, first=4, second=4):
        """Boot two servers and give each a half of both L3 domains."""
        servers = [self.boot(vcpus=n, **PINNED) for n in (first, second)]
        cpus = iter((4, 5, 8, 9, 6, 7, 10, 11))
        for server, count in zip(servers, (first, second), strict=True):
            self.give(server, {n: next(cpus) for n in range(count)})
        for server in servers:
            self._reboot_server(server, hard=True)
        self.domains.pinned.clear()
        return servers

    def stored(self, server):
        return objects.Instance.get_by_uuid(
            self.context, server['id'], expected_attrs=['numa_topology']
        )

    def give(self, server, pins):
        instance = self.stored(server)
        (cell,) = instance.numa_topology.cells
        cell.cpu_pinning = pins
        # A new one, as Nova's claim makes it: all of it counts as changed.
        instance.numa_topology = objects.InstanceNUMATopology(cells=[cell])
        instance.save()

    def planned(self, name='compute1'):
        """Run the audit of a host; return the plan that it has left."""
        self.computes[name].manager.update_available_resource(self.context)
        path = os.path.join(self.folder, 'kvm-tuning/rebalance-plan.json')
        with open(path) as file:
            return json.load(file)

    def flag(self, **options):
        self.flags(group='kvm_tuning', **options)

    def stays(self, found):
        return {each['uuid']: each['stays'] for each in found['guests']}


class PlanTest(ScatteredTest):
    def test_nothing_is_asked_or_written_as_a_rule(self):
        def never(*args):
            raise AssertionError('it ran')

        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.rebalance.Rebalance.run',
                never,
            )
        )
        self.scattered()
        self.queries = 0
        self._run_periodics()
        # The audit's own.
        self.assertEqual(1, self.queries)
        self.assertEqual([], os.listdir(self.folder))

    def test_a_plan_is_written_and_nothing_moves(self):
        servers = self.scattered()
        before = [self.stored(s).numa_topology._to_json() for s in servers]
        self.flag(rebalance='plan', rebalance_budget=100)
        found = self.planned()
        self.assertEqual(
            {'before': 2, 'after': 0, 'least': 0}, found['excess']
        )
        self.assertEqual((4, 8), (found['moved'], found['vcpus']))
        self.assertEqual({None}, set(self.stays(found).values()))
        # The two dedicated pCPUs of the first domain serve as a buffer.
        self.assertEqual(0, found['doublings'])
        after = [self.stored(s).numa_topology._to_json() for s in servers]
        self.assertEqual(before, after)
        self.assertEqual([], self.domains.pinned)
        self.assertIn('4 of 8 dedicated vCPUs move', self.stdlog.logger.output)

    def test_the_budget(self):
        self.scattered()
        self.flag(rebalance='plan', rebalance_budget=10)
        self.assertEqual(0, self.planned()['moved'])
        self.assertIn('Nothing is worth', self.stdlog.logger.output)

    def test_it_is_planned_once_an_interval(self):
        self.scattered()
        self.flag(rebalance='plan')
        self.planned()
        self.queries = 0
        self._run_periodics()
        self.assertEqual(1, self.queries)
        now = rebalance.time.monotonic() + 3601
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.rebalance.time',
                Clock(now),
            )
        )
        self._run_periodics()
        self.assertEqual(3, self.queries)
        # The same is said once.
        self.assertEqual(1, self.stdlog.logger.output.count(', rebalance: '))

    def test_what_is_at_work_stays(self):
        first, second = self.scattered()
        instance = self.stored(first)
        instance.task_state = 'suspending'
        instance.save()
        self.flag(rebalance='plan')
        stays = self.stays(self.planned())
        self.assertIn('(suspending)', stays[first['id']])
        self.assertIsNone(stays[second['id']])

    def test_a_suspended_server_stays(self):
        first, second = self.scattered()
        instance = self.stored(first)
        instance.vm_state = 'suspended'
        instance.save()
        self.flag(rebalance='plan')
        self.assertEqual(
            'it is suspended', self.stays(self.planned())[first['id']]
        )

    def test_a_server_whose_domain_is_not_as_recorded_stays(self):
        first, second = self.scattered()
        self.give(first, {0: 4, 1: 5, 2: 8, 3: 3})
        self.flag(rebalance='plan')
        stays = self.stays(self.planned())
        self.assertIn('vCPU 3 is pinned to 9', stays[first['id']])
        self.assertIn('recorded pCPU 3', stays[first['id']])

    def test_an_overlap_is_no_matter_for_a_plan(self):
        first, second = self.scattered()
        self.give(second, {0: 4, 1: 7, 2: 10, 3: 11})
        self.flag(rebalance='plan')
        self._run_periodics()
        self.assertIn('rebalance: not planned: ', self.stdlog.logger.output)
        self.assertEqual([], os.listdir(self.folder))


class NeighbourTest(ScatteredTest):
    """What a resize holds for its revert is left alone."""

    def test_a_server_that_waits_for_its_confirmation(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver'
                '.migrate_disk_and_power_off',
                lambda *args, **kwargs: '{}',
            )
        )
        first, second = self.scattered()
        self.start('compute2')
        self.flag(rebalance='plan', rebalance_budget=100)
        self._resize_server(first, self.flavor(2, **PINNED))
        self.assertEqual('compute2', self.host(first))
        found = self.planned('compute1')
        self.assertEqual({second['id']: None}, self.stays(found))
        # Neither 4 and 5 nor 8 and 9 are there for it.
        self.assertEqual(0, found['moved'])
        stays = self.stays(self.planned('compute2'))
        self.assertIn('waits for its confirmation', stays[first['id']])
        self._confirm_resize(first)
        for compute in self.computes.values():
            compute.driver._kvm_tuning_rebalance._last.clear()
        self.assertEqual(2, self.planned('compute1')['moved'])
        stays = self.stays(self.planned('compute2'))
        self.assertEqual({first['id']: None}, stays)


class Clock:
    def __init__(self, now):
        self.monotonic = lambda: now
