"""Two servers of one node whose records hold one pCPU."""

from nova import context, objects

from kvm_tuning.adapters.nova.compute import overlaps
from tests.nova import base

PINNED = {'hw__cpu_policy': 'dedicated'}


class OverlapTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.context = context.get_admin_context()
        self.start()

    def stored(self, server):
        return objects.Instance.get_by_uuid(
            self.context, server['id'], expected_attrs=['numa_topology']
        )

    def give(self, server, pins):
        """Change the record of a server, as a lost update would."""
        instance = self.stored(server)
        topology = instance.numa_topology
        topology.cells[0].cpu_pinning = pins
        instance.numa_topology = topology
        instance.save()

    def found(self):
        return self.computes['compute1'].driver._kvm_tuning.overlaps

    def held(self, *servers):
        return [
            pcpu
            for server in servers
            for cell in self.stored(server).numa_topology.cells
            for pcpu in cell.cpu_pinning.values()
        ]

    def test_servers_that_share_nothing(self):
        self.boot(vcpus=2, **PINNED)
        self.boot(vcpus=2, **PINNED)
        self._run_periodics()
        self.assertEqual({}, self.found())

    def test_a_new_server_is_kept_off_what_any_of_them_holds(self):
        first = self.boot(vcpus=2, **PINNED)
        second = self.boot(vcpus=2, **PINNED)
        third = self.boot(vcpus=2, **PINNED)
        free = set(range(2, 12)) - set(self.held(first, second, third))
        shared, other = self.held(first)[0], min(free)
        self.give(second, {0: shared, 1: other})
        self._run_periodics()
        (overlap,) = self.found().values()
        self.assertEqual(
            {shared: tuple(sorted((first['id'], second['id'])))},
            overlap.servers,
        )
        new = self.boot(vcpus=2, **PINNED)
        old = self.held(first, second, third)
        self.assertEqual(set(), set(old) & set(self.held(new)))
        text = self.stdlog.logger.output
        self.assertIn('servers hold the same pCPUs', text)
        self.assertIn(f'pCPU {shared}: ', text)

    def test_it_ends_when_one_of_them_is_gone(self):
        first = self.boot(vcpus=2, **PINNED)
        second = self.boot(vcpus=2, **PINNED)
        before = dict(enumerate(self.held(second)))
        self.give(second, dict(enumerate(self.held(first))))
        self._run_periodics()
        self.assertEqual(1, len(self.found()))
        self.give(second, before)
        self._run_periodics()
        self.assertEqual({}, self.found())
        self.assertIn('any more', self.stdlog.logger.output)

    def test_a_host_that_is_full_of_them_refuses(self):
        first = self.boot(vcpus=4, **PINNED)
        second = self.boot(vcpus=4, **PINNED)
        self.give(second, dict(enumerate(self.held(first))))
        self._run_periodics()
        free = 10 - len(set(self.held(first, second)))
        self.boot(vcpus=free + 1, expected_state='ERROR', **PINNED)

    def test_without_it_a_new_server_is_given_what_another_holds(self):
        # What it is for: Nova's usage ends at the second of the two.
        overlaps.uninstall()
        first = self.boot(vcpus=2, **PINNED)
        second = self.boot(vcpus=2, **PINNED)
        third = self.boot(vcpus=2, **PINNED)
        self.give(second, dict(enumerate(self.held(first))))
        self._run_periodics()
        news = [self.boot(vcpus=2, **PINNED) for _each in range(2)]
        held = self.held(first, third, *news)
        self.assertLess(len(set(held)), len(held))


class KeptOffTest(base.ServersTest):
    def test_nothing_is_read_of_a_node_where_none_overlap(self):
        node = objects.ComputeNode()
        self.assertIs(node, overlaps.kept_off(node, {}))

    def test_another_node_of_the_service(self):
        node = objects.ComputeNode(hypervisor_hostname='one')
        other = {'two': overlaps.Overlap({2: ('a', 'b')}, frozenset({2}))}
        self.assertIs(node, overlaps.kept_off(node, other))
