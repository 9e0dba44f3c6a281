"""Enforce promises outside a guest's definition; restore what ended guests
held.

This works however a guest was started: by libvirt's autostart, by migration,
by virsh. The hook script of libvirt only writes down names (a hook must not
call libvirt), and this reads them.
"""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kvm_tuning.adapters import lock
from kvm_tuning.core import domain
from kvm_tuning.core.claims import Record
from kvm_tuning.core.effects import Scope, Setting
from kvm_tuning.core.exceptions import (
    InvalidDocument,
    InventoryUnreadable,
    LibvirtFailed,
)
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import observe, start_queue
from kvm_tuning.host.guests import settings as guest_settings
from kvm_tuning.host.guests.settings import Engine, Owner, Result, Step, Writer
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg


class Libvirt(Protocol):
    """The calls to libvirt that this needs."""

    def running(self) -> Mapping[str, str]: ...

    def record(self, name: str, secure: bool = False) -> Record: ...


@dataclass(frozen=True, slots=True)
class Promised:
    """What was promised to a guest outside its definition."""

    owner: Owner
    settings: tuple[Setting, ...]


def engine(root: str = '/', writer: Writer | None = None) -> Engine:
    """Return what applies settings on the host below ``root``."""
    return Engine(writer or guest_settings.PrivilegedWriter(), System(root))


def promised(
    record: Record, inventory: Inventory, running: bool
) -> Promised | None:
    """Return what the receipt of a guest promises outside its definition; None
    where that is nothing.

    :param running: take the receipt that it was started with.
    :raises InvalidDocument: its receipt cannot be read.
    """
    xml = record.live if running else record.defined
    found = domain.read(xml or record.defined or record.live or '')
    if found.receipt is None:
        return None
    settings = tuple(
        setting
        for setting in found.receipt.settings
        if setting.scope is Scope.INSTANCE
    )
    if not settings:
        return None
    guest = found.current
    vfs = inventory.vfs(guest.host_devices, guest.direct_nics)
    return Promised(Owner(record.uuid, record.name, vfs), settings)


def reconcile(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    names: Sequence[str] = (),
    queue: str | None = None,
    root: str = '/',
    writer: Writer | None = None,
) -> list[Step]:
    """Enforce the settings of the guests ``names``, or of those in the queue;
    of all running ones without either. Restore those of guests that have
    ended.

    :param queue: directory of what the hook script has written; what was read
        there is removed.
    :raises LibvirtFailed: there is no such guest, or libvirt does not answer.
    :raises JournalFailed: the previous attributes of VFs are unknown.
    """
    with lock.held(conf):
        events = [] if queue is None else start_queue.read(queue)
        starting = start_queue.starting(events)
        running = libvirt.running()
        maker = engine(root, writer)
        held = {*running, *_uuids(libvirt, starting - set(running.values()))}
        steps = maker.restore(lambda entry: entry.owner not in held)
        if queue is None:
            wanted = list(names) or sorted(running.values())
        else:
            wanted = sorted({event.guest for event in events} - {''})
        inventory = reader.read(root) if wanted else None
        for name in wanted:
            if inventory is None:
                break
            try:
                record = libvirt.record(name)
            except LibvirtFailed:
                # It was undefined since, or was transient and has ended.
                if name in names:
                    raise
                continue
            steps += make(maker, record, inventory, root, name in starting)
        if queue is not None:
            start_queue.remove(events)
    return steps


def _uuids(libvirt: Libvirt, names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        with contextlib.suppress(LibvirtFailed):
            found.append(libvirt.record(name).uuid)
    return found


def make(
    maker: Engine,
    record: Record,
    inventory: Inventory,
    root: str = '/',
    starting: bool = False,
) -> list[Step]:
    """Enforce the settings of one running guest. The lock has to be held.

    :param starting: it is about to run: enforce what has to be there before.
    """
    running = record.live is not None
    if not running and not starting:
        return []
    try:
        found = promised(record, inventory, running)
    except InvalidDocument as error:
        return [failed(record, str(error))]
    if found is None:
        return []
    steps = maker.before_start(found.owner, found.settings)
    if running:
        try:
            pid = observe.find(record.uuid, record.name, root)
        except InventoryUnreadable as error:
            return [*steps, failed(record, str(error))]
        steps += maker.after_start(found.owner, found.settings, pid, root)
    return steps


def failed(record: Record, why: str) -> Step:
    """Return the step of a guest that could not be examined."""
    return Step(record.name, 'guest', '', '', Result.FAILED, why)
