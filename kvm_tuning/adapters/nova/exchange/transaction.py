"""Carry out one exchange of pCPUs between servers, or finish it after a crash.

1. The servers' own locks, which whoever starts, stops or deletes them takes,
   in their order and without waiting; then that of the node's usage: Nova's
   order.
2. Under the locks everything is read and compared again. A record that is not
   washed, or a server that Nova does something with, ends it here.
3. Nova's own accounting frees the old pins and takes the new ones, on a copy.
4. The journal is on disk before anything is changed.
5. Each server gets our task, by compare-and-swap.
6. Threads, definitions and receipts (``healing.mover``), then the records, one
   by one; the usage, if free pCPUs were taken.
7. The servers are released, and the journal goes.

A failure up to the last thread goes back. From the first record on there is
only forward, which is what :func:`recover` does when nova-compute starts.
"""

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass, replace
import logging
import os
from typing import Any

from nova import context, exception, objects
from nova.compute import resource_tracker
import nova.conf
from nova.virt import hardware
from oslo_concurrency import lockutils

from kvm_tuning.adapters.healing.mover import Libvirt, Mover
from kvm_tuning.adapters.nova.exchange import records
from kvm_tuning.core.exceptions import KvmTuningError, Unsupported
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from kvm_tuning.host.guests.exchange_journal import Exchange, Guest

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

#: Below Nova's ``state_path``.
FOLDER = 'kvm-tuning'


class Left(Exception):
    """An exchange was not begun: nothing is changed. The text says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where an exchange is carried out."""

    #: Nova's connection, as :class:`kvm_tuning.adapters.connection`.
    libvirt: Libvirt
    #: Nova's ``ResourceTracker``.
    tracker: Any
    #: Below Nova's ``state_path``.
    system: System

    def load(self) -> Exchange | None:
        """Return the open exchange.

        :raises JournalFailed: it cannot be read.
        """
        return exchange_journal.load(self.system, FOLDER)


def is_open() -> bool:
    """Return whether there is a journal of an exchange."""
    return os.path.lexists(
        os.path.join(CONF.state_path, FOLDER, exchange_journal.NAME)
    )


def carry_out(node: Node, exchange: Exchange) -> None:
    """Do all of an exchange, or nothing of it.

    :param exchange: of servers that go where others of it are, or onto free
        pCPUs; its figures name the ``node``.
    :raises Left: it was not begun.
    :raises KvmTuningError: it was taken back; or could not be, and the
        journal stays.
    """
    with _locks(exchange):
        if node.load() is not None:
            raise Left('an exchange is unfinished')
        admin = context.get_admin_context()
        found = _read(node, admin, exchange)
        usage, others = _accounted(node, found, exchange)
        exchange_journal.open_(node.system, exchange, FOLDER)
        instances = [instance for _guest, instance in found]
        try:
            records.hold(instances)
        except exception.UnexpectedTaskStateError as error:
            exchange_journal.close(node.system, exchange, None, FOLDER)
            raise Left(str(error)) from error
        mover = Mover(node.libvirt, exchange, others)
        try:
            mover.run()
        except KvmTuningError:
            Mover(node.libvirt, exchange.back(), others).run()
            for instance in instances:
                records.release(instance)
            exchange_journal.close(node.system, exchange, None, FOLDER)
            raise
        _record(found)
        if usage is not None:
            compute_node = node.tracker.compute_nodes[_name(exchange)]
            compute_node.numa_topology = usage._to_json()
            node.tracker._update(admin, compute_node)
        _finish(node, exchange, mover, instances)


def recover(node: Node) -> None:
    """Finish the exchange that is open, if one is. Servers that are gone, or
    elsewhere, are left out; each step is one that may have been done.

    :raises JournalFailed: it cannot be read.
    :raises Unsupported: a record has neither the old pins nor the new ones,
        or somebody else has moved a thread.
    """
    exchange = node.load()
    if exchange is None:
        return
    admin = context.get_admin_context()
    found = []
    for guest in exchange.guests:
        instance = records.read(admin, guest.uuid)
        if instance is None or not _is_here(node, instance, exchange):
            LOG.info('server %s of an exchange is gone', guest.uuid)
            continue
        if not (_has(instance, guest.before) or _has(instance, guest.after)):
            raise Unsupported(
                f'server {guest.uuid} was to exchange pCPUs, and its record '
                f'has neither its old pins nor its new ones: correct the '
                f'record, or move {FOLDER}/{exchange_journal.NAME} below '
                f'state_path away and hard reboot the servers that it names'
            )
        found.append((guest, instance))
    rest = replace(exchange, guests=tuple(guest for guest, _each in found))
    mover = Mover(node.libvirt, rest, _held(node, admin, exchange))
    mover.run()
    _record(found)
    _finish(node, exchange, mover, [instance for _guest, instance in found])


@contextlib.contextmanager
def _locks(exchange: Exchange) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            for guest in sorted(exchange.guests, key=lambda each: each.uuid):
                stack.enter_context(
                    lockutils.lock(guest.uuid, do_log=False, blocking=False)
                )
        except lockutils.AcquireLockFailedException as error:
            raise Left(f'Nova is at work on a server: {error}') from error
        stack.enter_context(
            lockutils.lock(
                resource_tracker.COMPUTE_RESOURCE_SEMAPHORE,
                do_log=False,
                fair=True,
            )
        )
        yield


def _read(
    node: Node, admin: Any, exchange: Exchange
) -> list[tuple[Guest, Any]]:
    """Return the servers of an exchange.

    :raises Left: one is not as it was planned.
    """
    migrations = objects.MigrationList.get_in_progress_and_error(
        admin, node.tracker.host, _name(exchange)
    )
    moving = {each.instance_uuid for each in migrations}
    found = []
    for guest in exchange.guests:
        instance = records.read(admin, guest.uuid)
        if instance is None or not _is_here(node, instance, exchange):
            raise Left(f'server {guest.uuid} is gone')
        why = records.busy(instance, guest.uuid in moving)
        if why is None and not _has(instance, guest.before):
            why = 'its pins have changed'
        if why is None and not records.is_washed(instance):
            why = 'its record is not washed'
        if why is not None:
            raise Left(f'server {guest.uuid}: {why}')
        found.append((guest, instance))
    return found


def _accounted(
    node: Node, found: list[tuple[Guest, Any]], exchange: Exchange
) -> tuple[Any | None, frozenset[int]]:
    """Return the node's usage afterwards, where it changes, and the pCPUs that
    others hold.

    :raises Left: Nova would not count it.
    """
    compute_node = node.tracker.compute_nodes[_name(exchange)]
    before = objects.NUMATopology.obj_from_db_obj(compute_node.numa_topology)
    usage = before
    try:
        for _guest, instance in found:
            usage = hardware.numa_usage_from_instance_numa(
                usage, instance.numa_topology, free=True
            )
        others = _pinned(usage)
        for guest, instance in found:
            usage = hardware.numa_usage_from_instance_numa(
                usage, records.moved(instance.numa_topology, guest.after)
            )
    except (
        exception.CPUPinningInvalid,
        exception.CPUUnpinningInvalid,
    ) as error:
        raise Left(f'somebody else has a pCPU of it: {error}') from error
    return None if _pinned(usage) == _pinned(before) else usage, others


def _record(found: list[tuple[Guest, Any]]) -> None:
    for guest, instance in found:
        # A delete does not wait for us.
        with contextlib.suppress(exception.InstanceNotFound):
            records.store(instance, guest.after)


def _finish(
    node: Node, exchange: Exchange, mover: Mover, instances: list[Any]
) -> None:
    for instance in instances:
        records.release(instance)
    figures = {
        **exchange.figures,
        'calls': mover.calls,
        'doublings': mover.doublings,
    }
    exchange_journal.close(
        node.system, exchange, replace(exchange, figures=figures), FOLDER
    )
    for each in mover.left:
        LOG.warning('exchange of pCPUs: %s', each)


def _held(node: Node, admin: Any, exchange: Exchange) -> frozenset[int]:
    """Return the pCPUs that other servers of the node hold."""
    own = {guest.uuid for guest in exchange.guests}
    return frozenset(
        cpu
        for instance in objects.InstanceList.get_by_host_and_node(
            admin,
            node.tracker.host,
            _name(exchange),
            expected_attrs=['numa_topology'],
        )
        if instance.uuid not in own
        for cpu in records.pins(instance).values()
    )


def _is_here(node: Node, instance: Any, exchange: Exchange) -> bool:
    return bool(
        instance.host == node.tracker.host and instance.node == _name(exchange)
    )


def _has(instance: Any, wanted: Any) -> bool:
    found = records.pins(instance)
    return all(found.get(vcpu) == cpu for vcpu, cpu in wanted.items())


def _pinned(usage: Any) -> frozenset[int]:
    return frozenset().union(*(cell.pinned_cpus for cell in usage.cells))


def _name(exchange: Exchange) -> str:
    return str(exchange.figures['node'])
