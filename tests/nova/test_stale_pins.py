"""Pins that are exchanged while a request is under way.

The exchange comes between the API, which has read the servers with their
pins, and nova-compute.
"""

import fixtures
from nova import context, objects
from nova.compute import rpcapi

from kvm_tuning.adapters.nova.compute import pins
from tests.nova import base

PINNED = {'hw__cpu_policy': 'dedicated'}


class StaleTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.context = context.get_admin_context()
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver'
                '.migrate_disk_and_power_off',
                lambda *args, **kwargs: '{}',
            )
        )
        self.start()
        self.servers = [self.boot(vcpus=2, **PINNED) for _each in range(2)]
        for server in self.servers:
            self.store(server, self.recorded(server))
        self.before = [self.recorded(server) for server in self.servers]

    def stored(self, server):
        return objects.Instance.get_by_uuid(
            self.context, server['id'], expected_attrs=['numa_topology']
        )

    def recorded(self, server):
        (cell,) = self.stored(server).numa_topology.cells
        return cell.cpu_pinning

    def store(self, server, pinning):
        """Record pins so that a save of something else does not store them
        again, as an exchange does.
        """
        instance = self.stored(server)
        topology = instance.numa_topology
        topology.cells[0].cpu_pinning = pinning
        topology.obj_reset_changes(recursive=True)
        instance.numa_topology = topology
        instance.save()

    def exchange(self):
        """Exchange the pCPUs of the servers' last vCPUs."""
        first, second = self.before
        self.store(self.servers[0], {**first, 1: second[1]})
        self.store(self.servers[1], {**second, 1: first[1]})

    def exchange_before(self, name):
        """Exchange them before an RPC reaches nova-compute."""
        path = f'nova.compute.rpcapi.ComputeAPI.{name}'
        stock = getattr(rpcapi.ComputeAPI, name)

        def call(*args, **kwargs):
            self.exchange()
            return stock(*args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch(path, call))

    def used(self, name='compute1'):
        """Return the pCPUs that Nova counts as pinned."""
        tracker = self.computes[name].manager.rt
        node = tracker.compute_nodes[name]
        topology = objects.NUMATopology.obj_from_db_obj(node.numa_topology)
        return set().union(*(cell.pinned_cpus for cell in topology.cells))

    def test_a_deleted_server_frees_its_pcpus_of_now(self):
        self.exchange_before('terminate_instance')
        self._delete_server(self.servers[0])
        held = set(self.recorded(self.servers[1]).values())
        self.assertEqual({self.before[1][0], self.before[0][1]}, held)
        # Before any audit has counted anew.
        self.assertEqual(held, self.used())

    def test_a_hard_reboot_starts_on_the_pcpus_of_now(self):
        self.exchange_before('reboot_instance')
        self._reboot_server(self.servers[0], hard=True)
        wanted = {self.before[0][0], self.before[1][1]}
        self.assertEqual(wanted, set(self.recorded(self.servers[0]).values()))
        self.assertEqual(wanted, self.pins(self.servers[0]))
        self.assertEqual(
            set(),
            wanted & set(self.recorded(self.servers[1]).values()),
        )

    def test_a_resize_reverts_to_the_pcpus_of_now(self):
        self.start('compute2')
        self.exchange_before('prep_resize')
        server = self.servers[0]
        self._resize_server(
            server, self.flavor(2, kvm__iothreads='2', **PINNED)
        )
        self.assertEqual('compute2', self.host(server))
        self._revert_resize(server)
        wanted = {self.before[0][0], self.before[1][1]}
        self.assertEqual(wanted, set(self.recorded(server).values()))
        self.assertEqual(wanted, self.pins(server))
        self._run_periodics()
        self.assertEqual(
            wanted | set(self.recorded(self.servers[1]).values()), self.used()
        )
        self.assertEqual(
            {}, self.computes['compute1'].driver._kvm_tuning.overlaps
        )

    def test_a_stale_object_that_is_saved_changes_no_pins(self):
        stale = self.stored(self.servers[0])
        self.exchange()
        stale.display_name = 'another'
        stale.save()
        self.assertEqual(
            {self.before[0][0], self.before[1][1]},
            set(self.recorded(self.servers[0]).values()),
        )

    def test_nor_does_one_that_was_read_anew(self):
        instance = self.stored(self.servers[0])
        # As Nova's claim leaves it.
        instance.numa_topology = instance.numa_topology.obj_clone()
        self.exchange()
        pins.refresh(instance)
        self.assertNotIn('numa_topology', instance.obj_what_changed())
        self.assertEqual(
            self.recorded(self.servers[0]),
            instance.numa_topology.cells[0].cpu_pinning,
        )

    def test_a_server_that_moves_is_left_alone(self):
        instance = self.stored(self.servers[0])
        instance.migration_context = objects.MigrationContext()
        self.exchange()
        pins.refresh(instance)
        self.assertEqual(
            self.before[0], instance.numa_topology.cells[0].cpu_pinning
        )

    def test_nothing_is_read_where_nothing_was_brought_along(self):
        instance = objects.Instance.get_by_uuid(
            self.context, self.servers[0]['id'], expected_attrs=[]
        )
        pins.refresh(instance)
        self.assertFalse(instance.obj_attr_is_set('numa_topology'))
