"""Carry out a plan for all guests of a host, finish it, or take it back."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
import logging
from typing import TYPE_CHECKING, Any

from kvm_tuning.adapters import audit, lock, reconcile, standalone
from kvm_tuning.adapters.healing import planned
from kvm_tuning.adapters.healing.mover import Libvirt, Mover
from kvm_tuning.adapters.healing.planned import Limits, Planned
from kvm_tuning.core import receipt
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import JournalFailed, KvmTuningError
from kvm_tuning.core.healing import rewrite
from kvm_tuning.core.healing.occupants import Choice, Occupant
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from kvm_tuning.host.guests.exchange_journal import (
    ADDED,
    KEPT,
    NONE,
    Cpus,
    Exchange,
    Group,
    Guest,
    Pair,
)
from kvm_tuning.host.guests.settings import Step, Writer
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an exchange."""

    #: None: there was nothing to move.
    exchange: Exchange | None
    calls: int = 0
    doublings: int = 0
    #: What was left as it is, and why.
    left: tuple[str, ...] = ()
    #: What was set outside of definitions: vhost threads follow.
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """Where exchanges are carried out."""

    libvirt: Libvirt
    conf: 'cfg.ConfigOpts'
    root: str = '/'
    #: Who changes this host; None: the privileged process.
    writer: Writer | None = None
    system: System | None = None

    @property
    def files(self) -> System:
        """Who writes the journal."""
        return self.system or System(self.root)


def apply(
    host: Host,
    choice: Choice,
    limits: Limits,
    check: Callable[[Planned], None] = lambda _planned: None,
) -> tuple[Planned, Done]:
    """Plan, and move the guests, under the lock.

    A failure takes all of it back.

    :param check: called with the plan before anything is changed.
    :raises JournalFailed: an earlier exchange is unfinished.
    :raises LibvirtFailed: a call failed.
    """
    with lock.held(host.conf):
        exchange_journal.check_closed(host.files.root)
        records = host.libvirt.records()
        choice = planned.without(choice, host.libvirt.busy())
        made = planned.make(records, host.conf, choice, limits, host.root)
        check(made)
        if not made.plan.moved:
            return made, Done(None)
        exchange = exchange_of(host.libvirt, records, made)
        return made, carry_out(host, exchange)


def resume(host: Host) -> Done:
    """Finish an interrupted exchange.

    :raises JournalFailed: none is open, or it cannot be read.
    :raises Unsupported: somebody else has moved a vCPU since.
    """
    with lock.held(host.conf):
        exchange = exchange_journal.load(host.files)
        if exchange is None:
            raise JournalFailed('no exchange of pCPUs is unfinished')
        return _finish(host, exchange, _others(host, exchange))


def undo(host: Host) -> Done:
    """Take back the exchange that is open, or else the last one.

    Of one that is over, what still holds is taken back: guests that are where
    it put them, onto pCPUs that nobody else has now.

    :raises JournalFailed: there is none, or it cannot be read.
    """
    with lock.held(host.conf):
        exchange = exchange_journal.load(host.files)
        if exchange is not None:
            mover = _mover(host, exchange.back(), _others(host, exchange))
            mover.run()
            exchange_journal.close(host.files, exchange, None)
            return _done(host, exchange, mover)
        past = exchange_journal.history(host.files)
        last = next((each for each in reversed(past) if not each.undone), None)
        if last is None or last.kind != 'rebalance':
            raise JournalFailed('no exchange of pCPUs can be taken back')
        return _take_back(host, last)


def broken(host: Host, done: Done) -> list[tuple[str, Finding]]:
    """Return the promises that an audit of the guests that have moved finds
    broken, each with the guest's name.
    """
    guests = () if done.exchange is None else done.exchange.guests
    found = [host.libvirt.find(guest.uuid) for guest in guests]
    names = [
        record.name
        for record in found
        if record is not None and audit.tuned(record)
    ]
    if not names:
        return []
    return [
        (each.guest, finding)
        for each in audit.audit(host.libvirt, host.conf, names, root=host.root)
        for finding in each.findings
        if finding.severity is Severity.ERROR
    ]


def _take_back(host: Host, last: Exchange) -> Done:
    records = {r.uuid: r for r in host.libvirt.records()}
    guests, left = _still(last.back().guests, records)
    inventory = reader.read(host.root, devices=False)
    ledger = planned.ledger(
        list(records.values()), host.conf, inventory, host.root
    )
    while True:
        own = {guest.uuid for guest in guests}
        taken = {
            cpu: claim.name
            for claim in ledger.claims
            if claim.owner not in own
            for cpu in claim.pcpus
        }
        blocked = [
            (guest, cpu)
            for guest in guests
            for cpu in sorted(guest.mapped.values())
            if cpu in taken or cpu not in inventory.online
        ]
        if not blocked:
            break
        guest, cpu = blocked[0]
        left.append(
            f'guest {guest.name!r} stays: '
            f'{taken.get(cpu, "nobody, as it is offline,")} has its former '
            f'pCPU {cpu}'
        )
        guests = [each for each in guests if each is not guest]
    exchange = Exchange(
        tuple(guests),
        _groups(last.groups, guests, frozenset(taken)),
        _now(),
        'undo',
        {'moved': sum(_moved(guest) for guest in guests)},
        undone=True,
        undoes=last.when,
    )
    done = Done(exchange)
    if guests:
        done = carry_out(host, exchange)
    return replace(done, left=(*left, *done.left))


def _still(
    guests: Sequence[Guest], records: dict[str, Record]
) -> tuple[list[Guest], list[str]]:
    """Return the guests that are where an exchange has put them, and why the
    others are not.
    """
    found, left = [], []
    for guest in guests:
        record = records.get(guest.uuid)
        if record is None:
            left.append(f'guest {guest.name!r} is gone')
            continue
        pins = record.vcpus
        if record.live is None:
            defined = record.definition
            pins = {} if defined is None else defined.current.pins
        if all(
            pins.get(vcpu) == frozenset({cpu})
            for vcpu, cpu in guest.before.items()
        ):
            found.append(guest)
        else:
            left.append(
                f'guest {guest.name!r} stays: it is not where it was put'
            )
    return found, left


def _groups(
    groups: Sequence[Group], guests: Sequence[Guest], taken: Cpus
) -> tuple[Group, ...]:
    held = {
        cpu
        for guest in guests
        for pair in guest.mapped.items()
        for cpu in pair
    }
    return tuple(
        replace(group, free=group.free - taken - held) for group in groups
    )


def _others(host: Host, exchange: Exchange) -> Cpus:
    """Return the pCPUs that guests outside of an exchange hold."""
    own = {guest.uuid for guest in exchange.guests}
    found = standalone.ledger(host.libvirt, host.conf, host.root)
    return frozenset().union(
        *(claim.pcpus for claim in found.claims if claim.owner not in own)
    )


def exchange_of(
    libvirt: Libvirt,
    records: Sequence[Record],
    made: Planned,
    only: Collection[str] | None = None,
) -> Exchange:
    """Return what carries out a plan.

    :param only: UUIDs of guests that exchange among themselves; None: all.
    """
    plan, by_uuid = made.plan, {r.uuid: r for r in records}
    moving = [o for o in plan.occupants if plan.pins[o.uuid] != o.pins]
    if only is not None:
        moving = [o for o in moving if o.uuid in only]
    before = [cell.before for cell in plan.cells]
    after = [cell.after for cell in plan.cells]
    figures: dict[str, Any] = {
        'excess': [sum(s.excess for s in each) for each in (before, after)],
        'shared_cores': [
            sum(s.shared_cores for s in each) for each in (before, after)
        ],
        'moved': plan.moved,
        'vcpus': sum(len(o.pins) for o in plan.occupants),
        'doublings': plan.doublings,
    }
    return Exchange(
        tuple(_guest(libvirt, made, o, by_uuid[o.uuid]) for o in moving),
        tuple(
            Group(
                frozenset(
                    cpu
                    for domain in cell.cell.domains
                    for core in domain
                    for cpu in core
                ),
                free,
            )
            for cell, free in zip(plan.cells, plan.free, strict=True)
        ),
        _now(),
        figures=figures,
    )


def _guest(
    libvirt: Libvirt, made: Planned, occupant: Occupant, record: Record
) -> Guest:
    mapped = made.plan.mapped(occupant, made.inventory)

    def pair(now: Cpus) -> Pair | None:
        new = rewrite.cpus(now, mapped)
        return None if new == now else (now, new)

    found = {n: pair(cpus) for n, cpus in record.iothreads.items()}
    return Guest(
        occupant.uuid,
        occupant.name,
        occupant.pins,
        made.plan.pins[occupant.uuid],
        mapped,
        _receipt(occupant, record),
        pair(libvirt.emulator_pin(record.name)) if record.live else None,
        {n: each for n, each in found.items() if each is not None},
    )


def _receipt(occupant: Occupant, record: Record) -> str:
    found = record.running or record.definition
    if found is not None and found.receipt is not None:
        return KEPT
    # Of a server, Nova's record says where it is.
    return ADDED if occupant.untuned else NONE


def carry_out(host: Host, exchange: Exchange) -> Done:
    """Do all of an exchange, or nothing of it. The lock has to be held.

    :raises LibvirtFailed: a call failed; all is as it was.
    :raises SettingRejected: the kernel has not done what it was asked to.
    """
    exchange_journal.open_(host.files, exchange)
    try:
        return _finish(host, exchange, frozenset())
    except KvmTuningError as error:
        if exchange_journal.load(host.files) is None:
            raise
        LOG.warning('%s: everything goes back', error)
        try:
            _mover(host, exchange.back(), frozenset()).run()
        except KvmTuningError as second:
            raise type(error)(
                f'{error}; and it could not be taken back: {second}. '
                f'kvm-tuning host rebalance --undo tries again, --resume '
                f'finishes it'
            ) from error
        exchange_journal.close(host.files, exchange, None)
        raise


def _finish(host: Host, exchange: Exchange, others: Cpus) -> Done:
    mover = _mover(host, exchange, others)
    mover.run()
    figures = {
        **exchange.figures,
        'calls': mover.calls,
        'doublings': mover.doublings,
    }
    over = replace(exchange, figures=figures)
    exchange_journal.close(host.files, exchange, over)
    return _done(host, exchange, mover)


def _mover(host: Host, exchange: Exchange, others: Cpus) -> Mover:
    return Mover(host.libvirt, exchange, others)


def _done(host: Host, exchange: Exchange, mover: Mover) -> Done:
    return Done(
        exchange,
        mover.calls,
        mover.doublings,
        tuple(mover.left),
        tuple(_vhost(host, exchange)),
    )


def _vhost(host: Host, exchange: Exchange) -> list[Step]:
    """Let vhost threads follow: libvirt knows nothing of them."""
    found = [host.libvirt.find(guest.uuid) for guest in exchange.guests]
    records = [
        record
        for record in found
        if record is not None and receipt.has_settings(record.live or '')
    ]
    if not records:
        return []
    inventory = reader.read(host.root)
    maker = reconcile.engine(host.root, host.writer)
    return [
        step
        for record in records
        for step in reconcile.make(maker, record, inventory, host.root)
    ]


def _moved(guest: Guest) -> int:
    return sum(guest.after[v] != cpu for v, cpu in guest.before.items())


def _now() -> str:
    return datetime.now(UTC).isoformat()
