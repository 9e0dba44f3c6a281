"""Move a running guest to other pCPUs, and record it in its receipt."""

from collections.abc import Iterator, Sequence
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from kvm_tuning import loader
from kvm_tuning.adapters import lock, reconcile, standalone
from kvm_tuning.conf import pci, placement
from kvm_tuning.core import cpuset, domain, moving, plan, recall, receipt
from kvm_tuning.core.audit.restart import Pending
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    KvmTuningError,
    LibvirtFailed,
    Unsupported,
)
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.moving import Pin
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.site import Site
from kvm_tuning.core.xml import pins
from kvm_tuning.hooks.base import Hook
from kvm_tuning.host.guests import exchange_journal
from kvm_tuning.host.guests.settings import Result, Step, Writer

if TYPE_CHECKING:
    from oslo_config import cfg


class Libvirt(standalone.Libvirt, Protocol):
    """The calls to libvirt that this needs besides those for tuning."""

    def pin_vcpu(self, name: str, vcpu: int, cpus: frozenset[int]) -> None: ...

    def pin_emulator(self, name: str, cpus: frozenset[int]) -> None: ...

    def pin_iothread(
        self, name: str, iothread: int, cpus: frozenset[int]
    ) -> None: ...

    def emulator_pin(self, name: str) -> frozenset[int]: ...

    def set_metadata(
        self, name: str, xml: str, prefix: str, namespace: str
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Move:
    """One thread that has moved."""

    pin: Pin
    before: frozenset[int]

    @property
    def thread(self) -> str:
        """What it is, for a person."""
        what = moving.THREADS[self.pin.tag]
        return what if what == 'emulator' else f'{what} {self.pin.number}'


@dataclass(frozen=True, slots=True)
class Repinned:
    """What became of a guest."""

    guest: str
    moves: tuple[Move, ...]
    changed: bool
    pending: tuple[Pending, ...] = ()
    #: Cells that vCPUs have moved to, away from their memory.
    away: frozenset[int] = frozenset()
    #: What was set outside its definition: vhost threads follow.
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class _Guest:
    """A running guest that was tuned."""

    record: Record
    live: Domain
    defined: Domain
    receipt: Receipt


def repin(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    name: str,
    cpus: str | None = None,
    root: str = '/',
    writer: Writer | None = None,
) -> Repinned:
    """Place a running guest again, under the lock, and move its threads.

    Inside its NUMA cells it moves freely; to others only when its memory can
    follow. The definition and both receipts are rewritten.

    :param hands: who changes this host; None: the privileged process.
    :param cpus: CPU list; its dedicated vCPUs go to these. None: any in its
        cells.
    :raises Refused: it does not run, has no receipt, or cannot move there.
    :raises LibvirtFailed: a call failed; the threads are back where they were.
    :raises JournalFailed: an exchange of pCPUs is unfinished.
    """
    with lock.held(conf):
        exchange_journal.check_closed(root)
        guest = _read(libvirt.record(name, secure=True))
        here = standalone.site(libvirt, conf, guest.defined.guest, root=root)
        here = _within(here, guest.receipt, cpus)
        asked = recall.request(
            guest.receipt,
            guest.defined.current,
            loader.knobs(hooks),
            pci.aliases(conf),
        )
        made = plan.make(hooks, asked, guest.defined.guest, here)
        moving.check_place_alone(guest.record.name, guest.receipt, made)
        away = moving.left(guest.receipt, made, here.inventory)
        if away:
            moving.check_memory(guest.live, away)
        moves = tuple(_moves(libvirt, guest.record, made))
        change = _apply(libvirt, guest, made, moves)
        # With the new receipt: libvirt knows no vhost threads.
        moved = libvirt.record(guest.record.name)
        steps = reconcile.make(
            reconcile.engine(root, writer), moved, here.inventory, root
        )
    return Repinned(
        guest.record.name,
        moves,
        bool(moves)
        or change.changed
        or any(step.result is Result.SET for step in steps),
        change.pending,
        away,
        tuple(steps),
    )


def _read(record: Record) -> _Guest:
    name = record.name
    if record.live is None:
        raise Unsupported(
            f'guest {name!r} is not running: guest tune places it again'
        )
    if record.defined is None:
        raise Unsupported(f'guest {name!r} is transient: it has no definition')
    live, defined = domain.read(record.live), domain.read(record.defined)
    if live.receipt is None and defined.receipt is None:
        raise Unsupported(f'guest {name!r} was never tuned: tune it first')
    if (
        live.receipt is None
        or defined.receipt is None
        or (_standing(live.receipt) != _standing(defined.receipt))
    ):
        raise Unsupported(
            f'guest {name!r} was tuned or untuned after it was started: '
            'restart it first'
        )
    return _Guest(record, live, defined, live.receipt)


def _standing(found: Receipt) -> object:
    """Return the part of a receipt that stays while a guest moves."""
    return found.flavor, found.asked, sorted(p.path for p in found.promises)


def _within(here: Site, found: Receipt, cpus: str | None) -> Site:
    """Return the site for a guest that may go to some pCPUs only, and keeps
    its devices: all others are as if somebody had them. The host is as large
    as before, so that what is strict stays so.
    """
    policy, inventory = here.policy, here.inventory
    own = frozenset() if found.claim is None else found.claim.devices
    others = frozenset(
        d.address
        for d in inventory.devices
        # A VF of a PF that somebody holds is not free.
        if d.address not in own and d.kind != 'pf'
    )
    here = _held(here, Claim('repin', 'repin', devices=others))
    allowed = policy.dedicated_cpus
    if allowed is None:
        return here
    if cpus is None:
        near = moving.cells(found, inventory)
        chosen = allowed.intersection(
            cpu.id for cpu in inventory.cpus if cpu.cell in near
        )
        # Without pins, or with some outside what may be dedicated now.
        chosen = chosen or allowed
    else:
        chosen = placement.cpus('--cpus', cpus, inventory) or frozenset()
        if not chosen <= allowed:
            raise ConfigInvalid(
                f'--cpus {cpus}: pCPU {cpuset.format(chosen - allowed)} is '
                f'not in [placement] dedicated_cpus = '
                f'{cpuset.format(allowed)}'
            )
    shared = policy.shared_cpus
    if shared is None:
        shared = inventory.online - allowed
    return replace(
        _held(here, Claim('--cpus', '--cpus', pcpus=allowed - chosen)),
        policy=replace(policy, shared_cpus=shared),
    )


def _held(here: Site, claim: Claim) -> Site:
    return replace(here, ledger=here.ledger.plus([claim]))


def _moves(libvirt: Libvirt, record: Record, made: Plan) -> Iterator[Move]:
    """Yield what is not where the plan wants it."""
    for pin in moving.wanted(made):
        if pin.tag == pins.VCPU:
            before = record.vcpus.get(pin.number)
        elif pin.tag == pins.IOTHREAD:
            before = record.iothreads.get(pin.number)
        else:
            before = libvirt.emulator_pin(record.name)
        # None: a vCPU that is not plugged; its pin is in the definition.
        if before is not None and before != pin.cpus:
            yield Move(pin, before)


def _apply(
    libvirt: Libvirt, guest: _Guest, made: Plan, moves: Sequence[Move]
) -> standalone.Change:
    """Move the threads, then record it; move everything back if that fails."""
    name = guest.record.name
    done: list[Move] = []
    try:
        for move in moves:
            done.append(move)
            _pin(libvirt, name, move.pin)
        moved = libvirt.record(name, secure=True)
        xml = domain.tune(guest.defined, made)
        change = standalone.write(libvirt, moved, guest.defined, xml)
        stored = standalone.definition(libvirt.record(name, secure=True))
        text = receipt.metadata(domain.read(stored).root)
        assert text is not None  # It was tuned.
        libvirt.set_metadata(name, text, receipt.PREFIX, receipt.NAMESPACE)
    except KvmTuningError:
        for move in reversed(done):
            with contextlib.suppress(LibvirtFailed):
                _pin(libvirt, name, move.pin._replace(cpus=move.before))
        with contextlib.suppress(LibvirtFailed):
            libvirt.define(name, guest.defined.xml)
        raise
    return change


def _pin(libvirt: Libvirt, name: str, pin: Pin) -> None:
    if pin.tag == pins.VCPU:
        libvirt.pin_vcpu(name, pin.number, pin.cpus)
    elif pin.tag == pins.IOTHREAD:
        libvirt.pin_iothread(name, pin.number, pin.cpus)
    else:
        libvirt.pin_emulator(name, pin.cpus)
