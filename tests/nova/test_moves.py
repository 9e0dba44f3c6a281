"""Guests that move: resize, cold and live migration, evacuation."""

import dataclasses

import fixtures
from lxml import etree
from nova.tests.functional.api import client
from nova.tests.functional.libvirt import base as libvirt_base

from kvm_tuning.core import domain
from kvm_tuning.core.edit import Promise
from tests.nova import base

PINNED = {'hw__cpu_policy': 'dedicated'}


class MoveTest(base.ServersTest):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.virt.libvirt.driver.LibvirtDriver'
                '.migrate_disk_and_power_off',
                lambda *args, **kwargs: '{}',
            )
        )
        self.start('one')
        self.start('two')

    def test_resize_and_confirm(self):
        server = self.boot(vcpus=2, kvm__iothreads='2', **PINNED)
        before = self.host(server)
        flavor = self.flavor(
            4, kvm__iothreads='4', kvm__cpu_locality='l3', **PINNED
        )
        self._resize_server(server, flavor)
        after = self.host(server)
        self.assertNotEqual(before, after)
        self.assertEqual(4, self.domain(server, after).current.iothreads)
        self.assertIn(self.pins(server, after), base.L3)
        self._confirm_resize(server)

    def test_resize_and_revert(self):
        server = self.boot(vcpus=2, kvm__iothreads='2', **PINNED)
        before = self.host(server)
        pins = self.pins(server, before)
        self._resize_server(
            server, self.flavor(4, kvm__iothreads='4', **PINNED)
        )
        self._revert_resize(server)
        self.assertEqual(before, self.host(server))
        self.assertEqual(2, self.domain(server, before).current.iothreads)
        self.assertEqual(pins, self.pins(server, before))

    def test_cold_migration(self):
        server = self.boot(kvm__cpu_locality='l3', **PINNED)
        before = self.host(server)
        self._migrate_server(server)
        after = self.host(server)
        self.assertNotEqual(before, after)
        self.assertIn(self.pins(server, after), base.L3)

    def test_a_resize_that_the_host_cannot_keep_goes_nowhere(self):
        server = self.boot(vcpus=2, **PINNED)
        before = self.host(server)
        self.readers.works = base.Capabilities(
            vhost_net=base.Probe(False, 'no vhost')
        )
        for compute in self.computes.values():
            compute.driver._kvm_tuning.host.refresh()
        flavor = self.flavor(2, kvm__vif_backend='vhost', **PINNED)
        error = self.assertRaises(
            client.OpenStackApiException,
            self.api.post_server_action,
            server['id'],
            {'resize': {'flavorRef': flavor}},
        )
        self.assertIn('kvm:vif_backend=vhost', str(error))
        self.assertIn('no vhost', str(error))
        self.assertEqual(before, self.host(server))

    def test_evacuation(self):
        server = self.boot(kvm__iothreads='2', **PINNED)
        source = self.host(server)
        self.computes[source].stop()
        service = self.computes[source].service_ref.uuid
        self.api.put_service(service, {'forced_down': True})
        self._evacuate_server(server, expected_state='SHUTOFF')
        after = self.host(server)
        self.assertNotEqual(source, after)
        self.assertEqual(2, self.domain(server, after).current.iothreads)


class LiveMigrationTest(libvirt_base.LibvirtMigrationMixin, base.ServersTest):
    """What the destination is given, and what it makes of it."""

    def setUp(self):
        super().setUp()
        self.start('one')
        self.start('two')

    def _migrate_stub(self, found, destination, params, flags):
        self.given = params['destination_xml']
        self.assertEqual(self.given, params['persistent_xml'])
        super()._migrate_stub(found, destination, params, flags)

    def migrate(self, shared='0-1', there=None, **specs):
        """:param shared: the destination's ``cpu_shared_set``.
        :param there: what differs of the destination's capabilities.
        """
        self.server = self.boot(**specs)
        source = self.host(self.server)
        (target,) = {'one', 'two'} - {source}
        self.src, self.dest = self.computes[source], self.computes[target]
        # Something else is where the guest's pins would be.
        self.domains.pinned.clear()
        # One process has one configuration.
        self.flags(
            cpu_shared_set=shared, cpu_dedicated_set='2-9', group='compute'
        )
        works = self.readers.works
        self.readers.works = dataclasses.replace(works, **(there or {}))
        self.dest.driver._kvm_tuning.host.refresh()
        self._live_migrate(self.server, 'completed')
        self.assertEqual(target, self.host(self.server))
        return domain.read(self.given)

    def test_nothing_asked_nothing_changed(self):
        given = self.migrate(**PINNED)
        self.assertIsNone(given.receipt)
        self.assertEqual([], self.domains.pinned)

    def test_every_iothread_is_inside_the_destinations_pins(self):
        given = self.migrate(
            kvm__iothreads='3',
            kvm__emulator_cpus='housekeeping',
            kvm__memory_allocation='immediate',
            **PINNED,
        )
        guest = given.current
        self.assertEqual(3, len(guest.iothread_pins))
        for cpus in guest.iothread_pins.values():
            self.assertEqual(guest.emulator_pin, cpus)
        # Nova's rewriting drops it.
        allocation = given.root.find('memoryBacking/allocation')
        self.assertEqual('immediate', allocation.get('mode'))

    def test_the_destination_plans_again(self):
        self.migrate(
            kvm__iothreads='2', kvm__emulator_cpus='housekeeping', **PINNED
        )
        name = self.host(self.server)
        found = self.domain(self.server, name)
        self.assertEqual({0, 1}, found.current.emulator_pin)
        self.assertEqual(
            self.pins(self.server, name), found.receipt.claim.pcpus
        )
        wanted = (True, True)
        self.assertIn(('emulator', (wanted, 1)), self.domains.pinned)
        self.assertIn(('iothread', (1, wanted, 1)), self.domains.pinned)
        self.assertIn(('iothread', (2, wanted, 1)), self.domains.pinned)

    def floats(self, shared):
        """Migrate a guest without cells, of which everything is asked that
        depends on where it is; return what the destination is given.
        """
        given = self.migrate(
            shared,
            vcpus=2,
            kvm__cpu_locality='l3',
            kvm__emulator_cpus='housekeeping',
            kvm__iothreads='2',
            kvm__memory_locality='strict',
        )
        # The receipt has the source's until the destination plans again.
        wanted = {
            promise.path: promise.wanted
            for promise in given.receipt.promises
            if isinstance(promise, Promise)
        }
        self.assertEqual('0-1', wanted['cputune/emulatorpin']['cpuset'])
        self.assertEqual('0', wanted['numatune/memory']['nodeset'])
        self.assertIn("cputune/vcpupin[@vcpu='0']", wanted)
        self.assertIn("cputune/iothreadpin[@iothread='2']", wanted)
        # What does not depend on it is there.
        self.assertEqual(2, given.current.iothreads)
        for pinned in ('vcpupin', 'emulatorpin', 'iothreadpin'):
            self.assertEqual([], given.root.findall(f'cputune/{pinned}'))
        self.assertIsNone(given.root.find('numatune/memory'))
        return given

    def test_a_guest_without_cells_goes_into_the_destinations_shared_set(self):
        given = self.floats(shared='10-11')
        # libvirt keeps threads without a pin of their own in these.
        self.assertEqual({10, 11}, given.current.cpuset)
        found = self.domain(self.server, self.host(self.server))
        there = {10, 11}
        self.assertEqual(there, found.current.emulator_pin)
        self.assertEqual(
            {1: there, 2: there}, dict(found.current.iothread_pins)
        )
        self.assertEqual(
            dict.fromkeys(range(2), there), dict(found.current.pins)
        )
        self.assertEqual({0}, found.current.memory_nodes)
        self.assertEqual((), found.untuned.foreign)
        wanted = (False,) * 10 + (True, True)
        self.assertEqual(
            {
                *(('vcpu', (vcpu, wanted, 1)) for vcpu in range(2)),
                ('emulator', (wanted, 1)),
                *(('iothread', (number, wanted, 1)) for number in (1, 2)),
            },
            set(self.domains.pinned),
        )

    def test_a_guest_without_cells_goes_where_nothing_is_shared(self):
        given = self.floats(shared=None)
        self.assertIsNone(given.current.cpuset)
        # What is left of the host there is housekeeping; vCPUs float.
        self.assertNotIn('vcpu', {what for what, _ in self.domains.pinned})

    def test_a_failure_there_fails_no_migration(self):
        def fails(*args, **kwargs):
            raise RuntimeError('oops')

        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.nova.compute.receipts._pin', fails
            )
        )
        self.migrate(kvm__iothreads='2', **PINNED)

    def test_what_a_destination_is_given_can_be_parsed(self):
        given = self.migrate(kvm__disk_queues='auto', **PINNED)
        self.assertIsNotNone(etree.fromstring(given.xml))
        for disk in given.current.data_disks:
            self.assertEqual('4', disk.driver['queues'])

    def test_queues_stay_where_auto_would_be_another_number(self):
        # Guest ABI with libvirt 11.4: a recorded version, none has it here.
        given = self.migrate(
            there={'tap_queues': 2, 'libvirt': (11, 4, 0)},
            kvm__disk_queues='auto',
            **PINNED,
        )
        self.assert_queues('4', given)
        found = domain.read(self.domains.defined[-1])
        self.assert_queues('4', found)
        promised = [
            promise.wanted['queues']
            for promise in found.receipt.promises
            if isinstance(promise, Promise) and 'queues' in promise.wanted
        ]
        self.assertEqual({'4'}, set(promised))

    def assert_queues(self, number, found):
        disks = found.current.data_disks
        self.assertNotEqual([], disks)
        self.assertEqual({number}, {d.driver['queues'] for d in disks})
