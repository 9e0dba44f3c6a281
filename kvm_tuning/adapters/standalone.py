"""Tune guests of this host's libvirt, without Nova.

Reading who holds what, planning and defining are one step under one lock, so
that two processes never give one pCPU to two guests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import logging
from typing import TYPE_CHECKING, NoReturn, Protocol

from kvm_tuning.adapters import lock
from kvm_tuning.adapters.trial import planned
from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.conf import placement
from kvm_tuning.core import claims, domain, drift
from kvm_tuning.core.audit import readback, restart
from kvm_tuning.core.audit.restart import Pending
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import (
    LibvirtFailed,
    SettingRejected,
    Unsupported,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Capabilities, Site
from kvm_tuning.hooks.base import Hook
from kvm_tuning.host.guests import exchange_journal, pinned
from kvm_tuning.host.inventory import reader
from kvm_tuning.host.probes import prober

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

#: The owner of the pCPUs that ``--taken`` names.
TAKEN = '--taken'

_Version = tuple[int, int, int]


class Reader(Protocol):
    """The calls to libvirt that show who holds what."""

    def records(self) -> list[Record]: ...


class Libvirt(Reader, Protocol):
    """The calls to libvirt that tuning needs; see
    :class:`kvm_tuning.adapters.connection.Connection`.
    """

    def versions(self) -> tuple[_Version | None, _Version | None]: ...

    def record(self, name: str, secure: bool = False) -> Record: ...

    def define(self, name: str, xml: str) -> None: ...

    def start(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a guest's definition."""

    guest: str
    changed: bool
    running: bool
    #: What takes effect only when the guest is restarted.
    pending: tuple[Pending, ...] = ()
    #: None: the tuning was undone.
    plan: Plan | None = None
    #: Addresses that somebody else has changed: they are left alone.
    foreign: tuple[str, ...] = ()


def ledger(libvirt: Reader, conf: 'cfg.ConfigOpts', root: str = '/') -> Ledger:
    """Return what the guests of this host hold.

    :raises LibvirtFailed: libvirt does not answer.
    """
    inventory = reader.read(root, devices=False)
    return claimed(libvirt.records(), conf, inventory)


def claimed(
    records: Sequence[Record], conf: 'cfg.ConfigOpts', inventory: Inventory
) -> Ledger:
    """Return who holds what, from what libvirt reports about its domains."""
    policy = placement.policy(conf, inventory)
    return claims.read(records, inventory.online, policy.dedicated_cpus)


def foreign(
    records: Sequence[Record],
    inventory: Inventory,
    dedicated: frozenset[int] | None,
    root: str = '/',
) -> tuple[Claim, ...]:
    """Return what processes hold that are none of these guests.

    :param dedicated: the pCPUs that may be dedicated; None: any.
    """
    guests = frozenset(record.uuid.lower() for record in records)
    return pinned.claims(root, inventory.online, dedicated, guests)


def site(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    guest: Guest,
    cpusets: Mapping[str, str] | None = None,
    taken: str | None = None,
    root: str = '/',
) -> Site:
    """Return the site for ``guest``: without its own claims, and with what it
    has on the host as free.

    :param cpusets: CPU lists that override the configuration's, by option.
    :param taken: CPU list of what others hold besides the guests.
    """
    inventory = reader.read(root)
    policy = placement.policy(conf, inventory, cpusets)
    records = libvirt.records()
    everything = claims.read(records, inventory.online, policy.dedicated_cpus)
    own = [claim for claim in everything.claims if _is_of(claim, guest)]
    others = Ledger(
        tuple(claim for claim in everything.claims if claim not in own)
    )
    # What it was given by hand is not to be given to it again.
    others = others.plus(
        [Claim(guest.owner, guest.name, devices=frozenset(guest.host_devices))]
    )
    others = others.plus(
        foreign(records, inventory, policy.dedicated_cpus, root)
    )
    if taken is not None:
        held = placement.cpus(TAKEN, taken, inventory) or frozenset()
        others = others.plus([Claim(TAKEN, TAKEN, pcpus=held)])
    return Site(
        _credit(inventory, own),
        others,
        _capabilities(libvirt, guest, root),
        policy,
    )


def tune(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    request: Request,
    name: str,
    root: str = '/',
    judge: Judge | None = None,
) -> Change:
    """Plan a guest and rewrite its definition, under the lock.

    :param judge: who tries the planned domain first; None: nobody.
    :raises RequestError: the request contradicts itself or the guest.
    :raises Refused: this host cannot keep a promise, or its libvirt the plan.
    :raises LibvirtFailed: libvirt rejects the definition; the old one stays.
    :raises SettingRejected: libvirt accepted it, but left out what was
        promised; the old one is restored.
    :raises JournalFailed: an exchange of pCPUs is unfinished.
    """
    with lock.held(conf):
        exchange_journal.check_closed(root)
        record = libvirt.record(name, secure=True)
        found = domain.read(definition(record))
        here = site(libvirt, conf, found.guest, root=root)
        LOG.debug('guest %s: plan it', name)
        judge = judge or Judge(missing='as nobody was to')
        made = planned.make(hooks, request, found, here, judge)
        change = write(libvirt, record, found, made.xml)
    return replace(change, plan=made.plan)


def undo(
    libvirt: Libvirt, conf: 'cfg.ConfigOpts', name: str, root: str = '/'
) -> Change:
    """Undo the tuning of a guest's definition, under the lock.

    :raises JournalFailed: an exchange of its pCPUs is unfinished.
    :raises LibvirtFailed: libvirt rejects the restored definition.
    """
    with lock.held(conf):
        record = libvirt.record(name, secure=True)
        exchange_journal.check_closed(root, record.uuid)
        found = domain.read(definition(record))
        change = write(libvirt, record, found, domain.undo(found))
    return replace(change, foreign=found.untuned.foreign)


def _is_of(claim: Claim, guest: Guest) -> bool:
    if guest.uuid is None:
        return claim.name == guest.name
    return claim.owner == guest.uuid


def definition(record: Record) -> str:
    """Return the definition of a guest.

    :raises Unsupported: it has none.
    """
    if record.defined is None:
        raise Unsupported(
            f'guest {record.name!r} is transient: it has no definition to '
            'tune; define it first'
        )
    return record.defined


def write(
    libvirt: Libvirt, record: Record, before: Domain, xml: str
) -> Change:
    """Write a definition, and check that libvirt has stored all of it and that
    its receipt is enough to undo it.

    The lock has to be held.

    :raises LibvirtFailed: libvirt rejects it; the old one stays.
    :raises SettingRejected: libvirt left something out; the old one is
        restored.
    """
    running = record.live is not None
    after = before
    if xml != record.defined:
        after = _stored(libvirt, record, xml)
        complete = domain.restorable(after, before)
        if complete != after.xml:
            after = _stored(libvirt, record, complete)
        if after.receipt is not None and not domain.alike(after, before):
            _put_back(
                libvirt,
                record,
                f'libvirt changed {record.name!r} in a way that undo could '
                'not reverse',
            )
    pending: tuple[Pending, ...] = ()
    if record.live is not None:
        live = domain.read_without_receipt(record.live)
        pending = restart.pending(
            after.root, live.root, (before.receipt, after.receipt)
        )
    return Change(record.name, after.xml != record.defined, running, pending)


def _stored(libvirt: Libvirt, record: Record, xml: str) -> Domain:
    """Define a domain and return it as libvirt stores it. Restore the old
    definition when libvirt has left something out: it silently drops what
    it does not know.
    """
    libvirt.define(record.name, xml)
    stored = domain.read(definition(libvirt.record(record.name, secure=True)))
    lost = [
        *_broken(stored),
        *map(str, readback.altered(domain.read(xml).root, stored.root)),
    ]
    if lost:
        _put_back(
            libvirt,
            record,
            f'libvirt does not keep {"; ".join(dict.fromkeys(lost))} of '
            f'{record.name!r}',
        )
    return stored


def _broken(stored: Domain) -> list[str]:
    promises = () if stored.receipt is None else stored.receipt.promises
    return [
        f'{point.address} (wanted {point.wanted}, found {point.found})'
        for promise in promises
        for point in drift.points(stored.root, promise, live=False)
        if not point.same
    ]


def _put_back(libvirt: Libvirt, record: Record, what: str) -> NoReturn:
    """Restore the previous definition, and say why.

    :raises SettingRejected: always.
    """
    try:
        libvirt.define(record.name, definition(record))
    except LibvirtFailed as error:
        raise SettingRejected(
            f'{what}, and the previous definition could not be restored: '
            f'{error}'
        ) from error
    raise SettingRejected(f'{what}; the previous definition is restored')


def _credit(inventory: Inventory, own: Sequence[Claim]) -> Inventory:
    """Return the inventory with the huge pages that the guest itself has in
    use counted as free: a plan for it may use them again.
    """
    pages: dict[tuple[int, int], int] = {}
    for claim in own:
        if claim.pages_in_use:
            for key, count in claim.pages.items():
                pages[key] = pages.get(key, 0) + count
    if not pages:
        return inventory
    return replace(
        inventory,
        cells=tuple(
            replace(
                cell,
                pages=tuple(
                    replace(
                        pool,
                        free=min(
                            pool.total,
                            pool.free + pages.get((cell.id, pool.size_kib), 0),
                        ),
                    )
                    for pool in cell.pages
                ),
            )
            for cell in inventory.cells
        ),
    )


def _capabilities(libvirt: Libvirt, guest: Guest, root: str) -> Capabilities:
    libvirt_version, qemu_version = libvirt.versions()
    paths = [disk.source for disk in guest.disks if disk.source is not None]
    return prober.probe(paths, root, libvirt_version, qemu_version)
