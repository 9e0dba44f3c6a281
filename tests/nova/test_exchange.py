"""Servers exchange pCPUs: all of it is done, or none, whenever it ends."""

import dataclasses
import threading
import time

import fixtures
from nova import exception, objects
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.api import client

from kvm_tuning.adapters.connection import Connection
from kvm_tuning.adapters.healing import apply
from kvm_tuning.adapters.healing.planned import Planned
from kvm_tuning.adapters.nova.exchange import records, transaction
from kvm_tuning.core import domain
from kvm_tuning.core.exceptions import LibvirtFailed, Unsupported
from kvm_tuning.core.healing import host as hosts
from kvm_tuning.core.healing import occupants
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from tests.nova import base
from tests.nova.pinned_domains import PinnedDomains
from tests.nova.test_rebalance import PINNED, ScatteredTest


class Killed(BaseException):
    """nova-compute ends here."""


class ExchangeTest(ScatteredTest):
    """Two servers on halves of two L3 domains, which exchange two pCPUs."""

    def setUp(self):
        super().setUp()
        self.fake = self.useFixture(PinnedDomains())
        self.servers = self.scattered()
        self.fake.defined = 0
        for server in self.servers:
            self.wash(server)
        self.before = [self.record(server) for server in self.servers]

    def wash(self, server):
        records.store(self.stored(server), {})

    def stored(self, server):
        return records.read(self.context, server['id'])

    def record(self, server):
        return records.pins(self.stored(server))

    def node(self):
        return transaction.Node(
            Connection(self.connection(), fakelibvirt.libvirtError),
            self.computes['compute1'].manager.rt,
            System(self.folder),
        )

    def exchange(self):
        """Return the exchange that brings each into one L3 domain."""
        node = self.node()
        inventory = base.HOST.inventory()
        found = [
            occupants.placed(
                server['id'],
                self.record(server),
                None,
                inventory,
                self.domain(server),
            )
            for server in self.servers
        ]
        plan = hosts.make(inventory, found, frozenset(range(4, 12)), {})
        made = apply.exchange_of(
            node.libvirt,
            node.libvirt.records(),
            Planned(inventory, plan),
            {server['id'] for server in self.servers},
        )
        figures = {**made.figures, 'node': 'compute1'}
        return dataclasses.replace(made, figures=figures)

    def carry_out(self):
        transaction.carry_out(self.node(), self.exchange())

    def used(self):
        tracker = self.computes['compute1'].manager.rt
        node = tracker.compute_nodes['compute1']
        topology = objects.NUMATopology.obj_from_db_obj(node.numa_topology)
        return set().union(*(cell.pinned_cpus for cell in topology.cells))

    def open(self):
        return self.node().load() is not None

    def assertApart(self):
        """Each is in one L3 domain, by record, domain and usage."""
        held = []
        for server in self.servers:
            cpus = set(self.record(server).values())
            self.assertIn(cpus, base.L3)
            self.assertEqual(cpus, self.pins(server))
            instance = self.stored(server)
            self.assertIsNone(instance.task_state)
            self.assertTrue(records.is_washed(instance))
            held += cpus
        self.assertEqual(4 * len(self.servers), len(set(held)))
        self._run_periodics()
        self.assertEqual(set(held), self.used())
        self.assertFalse(self.open())

    def assertAsBefore(self):
        self.assertEqual(
            self.before, [self.record(server) for server in self.servers]
        )
        for server, pins in zip(self.servers, self.before, strict=True):
            self.assertEqual(set(pins.values()), self.pins(server))
            self.assertIsNone(self.stored(server).task_state)
        self.assertFalse(self.open())


class DoneTest(ExchangeTest):
    def test_all_of_it(self):
        self.carry_out()
        self.assertEqual(4, len(self.fake.moves))
        self.assertEqual(2, self.fake.defined)
        self.assertApart()
        for server in self.servers:
            found = self.connection().lookupByUUIDString(server['id'])
            defined = domain.read(found.XMLDesc(2))
            self.assertEqual(
                self.domain(server).current.pins, defined.current.pins
            )
            # Nova's record is enough to undo it.
            self.assertIsNone(defined.receipt)
        (past,) = exchange_journal.history(
            System(self.folder), transaction.FOLDER
        )
        self.assertEqual(4, past.figures['calls'])
        # What Nova does next is on the new pins.
        for server in self.servers:
            self._reboot_server(server, hard=True)
        self.assertApart()
        for server in self.servers:
            self._delete_server(server)
        self.assertEqual(set(), self.used())

    def test_it_is_left_as_it_is(self):
        first, second = self.servers
        exchange = self.exchange()

        def left(why):
            error = self.assertRaises(
                transaction.Left,
                transaction.carry_out,
                self.node(),
                exchange,
            )
            self.assertIn(why, str(error))
            self.assertEqual([], self.fake.moves)
            self.assertFalse(self.open())

        instance = self.stored(second)
        instance.task_state = 'suspending'
        instance.save()
        left('(suspending)')
        instance.task_state = None
        instance.vm_state = 'suspended'
        instance.save()
        left('it is suspended')
        instance.vm_state = 'active'
        instance.save()
        self.give(second, self.before[1])
        left('not washed')
        self.wash(second)
        with transaction.lockutils.lock(second['id']):
            left('Nova is at work')
        self.give(second, {**self.before[1], 0: 3})
        left('pins have changed')
        self.give(second, self.before[1])
        self.wash(second)
        self.assertAsBefore()

    def test_somebody_begins_in_the_last_moment(self):
        stock = objects.Instance.save
        second = self.servers[1]['id']

        def save(instance, *args, **kwargs):
            if instance.uuid == second and instance.task_state == (
                records.EXCHANGING
            ):
                raise exception.UnexpectedTaskStateError(
                    instance_uuid=second, expected={}, actual={}
                )
            return stock(instance, *args, **kwargs)

        self.useFixture(
            fixtures.MonkeyPatch('nova.objects.Instance.save', save)
        )
        self.assertRaises(transaction.Left, self.carry_out)
        self.assertAsBefore()

    def test_a_thread_that_cannot_be_moved(self):
        def fails(number):
            if number == 2:
                self.fake.before_move = lambda number: None
                raise fakelibvirt.libvirtError('no')

        self.fake.before_move = fails
        self.assertRaises(LibvirtFailed, self.carry_out)
        self.assertAsBefore()

    def test_free_pcpus_are_taken_and_counted(self):
        first, second = self.servers
        self._delete_server(second)
        self.servers = [first]
        self._run_periodics()
        exchange = self.exchange()
        self.carry_out()
        (guest,) = exchange.guests
        held = set(guest.after.values())
        self.assertNotEqual(set(self.before[0].values()), held)
        # At once, also in what the scheduler reads.
        self.assertEqual(held, self.used())
        node = objects.ComputeNode.get_by_host_and_nodename(
            self.context, 'compute1', 'compute1'
        )
        topology = objects.NUMATopology.obj_from_db_obj(node.numa_topology)
        self.assertEqual(held, topology.cells[0].pinned_cpus)
        self.assertApart()

    def test_a_free_pcpu_that_is_taken_by_now(self):
        first, second = self.servers
        self._delete_server(second)
        self.servers = [first]
        self._run_periodics()
        exchange = self.exchange()
        self.boot(vcpus=6, **PINNED)
        error = self.assertRaises(
            transaction.Left, transaction.carry_out, self.node(), exchange
        )
        self.assertIn('somebody else has a pCPU', str(error))
        self.assertEqual([], self.fake.moves)
        self.before = self.before[:1]
        self.assertAsBefore()

    def test_a_delete_passes_and_waits(self):
        first, second = self.servers

        waiting = threading.Thread(
            target=self.api.delete_server, args=(first['id'],)
        )

        def delete(number):
            if number != 1:
                return
            waiting.start()
            for _each in range(200):
                if self.stored(first).task_state == 'deleting':
                    return
                time.sleep(0.1)
            raise AssertionError('the API does not let it pass')

        self.fake.before_move = delete
        self.carry_out()
        waiting.join()
        self._wait_until_deleted(first)
        held = set(self.record(second).values())
        self.assertIn(held, base.L3)
        self.assertEqual((held, held), (self.pins(second), self.used()))
        self.assertFalse(self.open())

    def test_what_the_api_lets_pass_meanwhile(self):
        first, second = self.servers
        told = []

        def request(number):
            if number != 1:
                return
            for action in ({'reboot': {'type': 'HARD'}}, {'suspend': None}):
                error = self.assertRaises(
                    client.OpenStackApiException,
                    self.api.post_server_action,
                    first['id'],
                    action,
                )
                told.append(error.response.status_code)

        self.fake.before_move = request
        self.carry_out()
        self.assertEqual([409, 409], told)
        self.assertApart()


class CrashedTest(ExchangeTest):
    """nova-compute ends at each step, and is started again."""

    def ends(self):
        """Carry it out until it is killed, then start again."""
        exchange = self.exchange()
        self.assertRaises(Killed, transaction.carry_out, self.node(), exchange)
        self.assertTrue(self.open())
        self.fake.before_move = lambda number: None
        for undo in self.patched:
            undo()
        self.again()
        self.assertApart()
        # Again: there is nothing to do.
        moves = len(self.fake.moves)
        transaction.recover(self.node())
        self.assertEqual(moves, len(self.fake.moves))

    def again(self):
        transaction.recover(self.node())

    def kill(self, module, name, count):
        """End at the start of a call, the ``count``-th of its name."""
        stock = getattr(module, name)
        calls = []

        def call(*args, **kwargs):
            calls.append(args)
            if len(calls) > count:
                raise Killed
            return stock(*args, **kwargs)

        setattr(module, name, call)
        self.patched.append(lambda: setattr(module, name, stock))
        self.addCleanup(setattr, module, name, stock)

    def setUp(self):
        super().setUp()
        self.patched = []

    def at_move(self, last):
        def killed(number):
            if number == last:
                raise Killed

        self.fake.before_move = killed
        self.ends()


class CrashTest(CrashedTest):
    def test_before_any_server_is_held(self):
        self.kill(records, 'hold', 0)
        self.ends()

    def test_at_the_first_move(self):
        self.at_move(0)

    def test_at_the_second_move(self):
        self.at_move(1)

    def test_at_the_last_move(self):
        self.at_move(3)

    def test_before_the_records(self):
        self.kill(records, 'store', 0)
        self.ends()

    def test_between_the_records(self):
        self.kill(records, 'store', 1)
        self.ends()

    def test_before_the_servers_are_released(self):
        self.kill(records, 'release', 0)
        self.ends()

    def test_between_the_releases(self):
        self.kill(records, 'release', 1)
        self.ends()

    def test_before_the_journal_goes(self):
        self.kill(exchange_journal, 'close', 0)
        self.ends()


class RestartTest(CrashedTest):
    """The service itself is started again."""

    def test_between_the_records(self):
        self.kill(records, 'store', 1)
        self.ends()

    def test_between_the_moves(self):
        self.at_move(2)

    def again(self):
        self.restart_compute_service('compute1')
        # Its first audit has counted what each server has now.
        self.assertNotIn('Error updating', self.stdlog.logger.output)

    def test_a_server_is_deleted_meanwhile(self):
        exchange = self.exchange()
        self.kill(records, 'store', 1)
        self.assertRaises(Killed, transaction.carry_out, self.node(), exchange)
        self.patched[0]()
        self._delete_server(self.servers[0])
        self.again()
        held = set(self.record(self.servers[1]).values())
        self.assertIn(held, base.L3)
        self.assertEqual(held, self.used())
        self.assertEqual(held, self.pins(self.servers[1]))
        self.assertFalse(self.open())

    def test_a_record_that_somebody_has_changed(self):
        exchange = self.exchange()
        self.kill(records, 'store', 0)
        self.assertRaises(Killed, transaction.carry_out, self.node(), exchange)
        self.patched[0]()
        self.give(self.servers[0], {0: 2, 1: 3, 2: 4, 3: 5})
        error = self.assertRaises(
            Unsupported, transaction.recover, self.node()
        )
        self.assertIn('neither its old pins nor its new ones', str(error))
        self.assertTrue(self.open())
