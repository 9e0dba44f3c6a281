"""Move the threads of several guests, then record where they are.

1. Helper threads that follow their guest may run on its old and its new
   pCPUs before its first vCPU moves, and on the new ones alone after the last
   one has.
2. Each vCPU is pinned by libvirt and read back from the kernel. The order is
   computed from where the vCPUs really are (``core.healing.moves``), so an
   interrupted exchange is finished, or taken back, by the same steps.
3. Definitions and the receipts of running guests are rewritten, each only if
   it is not as it is to be yet.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
import logging
from typing import Protocol

from kvm_tuning.adapters import repin, standalone
from kvm_tuning.core import cpuset, domain, moving, receipt
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import (
    InvalidDocument,
    SettingRejected,
    Unsupported,
)
from kvm_tuning.core.healing import moves, occupants, rewrite
from kvm_tuning.core.healing.host import Thread
from kvm_tuning.core.healing.moves import Move
from kvm_tuning.core.xml import pins
from kvm_tuning.host.guests import observe
from kvm_tuning.host.guests.exchange_journal import (
    NONE,
    REMOVED,
    Cpus,
    Exchange,
    Group,
    Guest,
    Pair,
)

LOG = logging.getLogger(__name__)


class Libvirt(repin.Libvirt, Protocol):
    """The calls to libvirt that this needs besides those of a repin."""

    def vcpu_pins(self, name: str) -> Mapping[int, Cpus]: ...

    def drop_metadata(self, name: str, namespace: str) -> None: ...

    def monitor(self, name: str) -> observe.Monitor: ...

    def busy(self) -> frozenset[str]: ...

    def find(self, uuid: str) -> Record | None: ...


@dataclass
class Mover:
    """Brings the guests of an exchange from ``before`` to ``after``."""

    libvirt: Libvirt
    exchange: Exchange
    #: pCPUs that others hold: no thread waits there.
    others: Cpus = frozenset()
    #: What was left as it is, and why.
    left: list[str] = field(default_factory=list)
    #: Moves made, and those that shared a pCPU for a moment.
    calls: int = 0
    doublings: int = 0

    def run(self) -> None:
        """Do all of it.

        :raises LibvirtFailed: a call failed.
        :raises SettingRejected: the kernel has not done what it was asked to.
        :raises Unsupported: a vCPU is where nobody but us can have put it.
        """
        records = {r.uuid: r for r in self.libvirt.records()}
        guests = [
            (guest, records[guest.uuid])
            for guest in self.exchange.guests
            if guest.uuid in records
        ]
        self.left += [
            f'guest {guest.name!r} is gone'
            for guest in self.exchange.guests
            if guest.uuid not in records
        ]
        running = [each for each in guests if each[1].live is not None]
        order = self._order(running)
        for guest, record in running:
            self._helpers(guest, record, lambda pair: pair[0] | pair[1])
        for move in order:
            self._move({g.uuid: r.name for g, r in running}, move)
        for guest, record in running:
            self._helpers(guest, record, lambda pair: pair[1])
        for guest, record in guests:
            self._define(guest, record.name)

    def _order(
        self, running: list[tuple[Guest, Record]]
    ) -> list[Move[Thread]]:
        places: dict[Thread, tuple[int, int]] = {}
        never: set[Thread] = set()
        for guest, record in running:
            found = self._places(guest, record)
            places |= found
            assert record.live is not None
            live = domain.read_without_receipt(record.live)
            if occupants.never_double(live):
                never |= found.keys()
        order: list[Move[Thread]] = []
        for group in self.exchange.groups:
            inside = {
                thread: place
                for thread, place in places.items()
                if place[1] in group.cpus
            }
            order += moves.order(inside, group.free - self.others, never)
        return order

    def _places(
        self, guest: Guest, record: Record
    ) -> dict[Thread, tuple[int, int]]:
        """Return where the vCPUs are, and where they go.

        :raises Unsupported: somebody else has moved one.
        """
        found: dict[Thread, tuple[int, int]] = {}
        for vcpu, target in guest.after.items():
            now = record.vcpus.get(vcpu)
            if now is None:
                self.left.append(
                    f'vCPU {vcpu} of guest {guest.name!r} is not plugged in'
                )
                continue
            group = self._group(target)
            ours = {guest.before[vcpu], target} | group.free
            if len(now) != 1 or not now <= ours:
                raise Unsupported(
                    f'vCPU {vcpu} of guest {guest.name!r} runs on pCPU '
                    f'{cpuset.format(now)}: somebody else has moved it, as it '
                    f'belongs on {guest.before[vcpu]} or {target}; put it on '
                    f'one of them (virsh vcpupin) first'
                )
            found[guest.uuid, vcpu] = min(now), target
        return found

    def _group(self, cpu: int) -> Group:
        return next(g for g in self.exchange.groups if cpu in g.cpus)

    def _move(self, names: Mapping[str, str], move: Move[Thread]) -> None:
        uuid, vcpu = move.thread
        wanted = frozenset({move.target})
        self.libvirt.pin_vcpu(names[uuid], vcpu, wanted)
        found = self.libvirt.vcpu_pins(names[uuid]).get(vcpu)
        if found != wanted:
            raise SettingRejected(
                f'vCPU {vcpu} of guest {names[uuid]!r} was pinned to pCPU '
                f'{move.target}, and the kernel has it on '
                f'{cpuset.format(found or ())}'
            )
        self.calls += 1
        self.doublings += move.doubles
        LOG.info(
            'guest %s: vCPU %d is on pCPU %d now',
            names[uuid],
            vcpu,
            move.target,
        )

    def _helpers(
        self, guest: Guest, record: Record, choose: Callable[[Pair], Cpus]
    ) -> None:
        """Pin the emulator and iothreads of a guest that follow it."""
        name = record.name
        if guest.emulator is not None:
            now = self.libvirt.emulator_pin(name)
            wanted = choose(guest.emulator)
            ours = self._ours(name, 'emulator', now, guest.emulator)
            if ours and now != wanted:
                self.libvirt.pin_emulator(name, wanted)
        if not guest.iothreads:
            return
        found = self.libvirt.record(name).iothreads
        for number, pair in guest.iothreads.items():
            now, wanted = found.get(number, frozenset()), choose(pair)
            ours = self._ours(name, f'iothread {number}', now, pair)
            if ours and now != wanted:
                self.libvirt.pin_iothread(name, number, wanted)

    def _ours(self, name: str, what: str, now: Cpus, pair: Pair) -> bool:
        """Return whether a helper thread is where we can have put it."""
        if now in (*pair, pair[0] | pair[1]):
            return True
        text = (
            f'{what} of guest {name!r} runs on pCPUs {cpuset.format(now)}, '
            f'where somebody else has put it'
        )
        if text not in self.left:
            self.left.append(text)
        return False

    def _define(self, guest: Guest, name: str) -> None:
        """Rewrite the definition and the running guest's receipt."""
        record = self.libvirt.record(name, secure=True)
        if record.defined is None:
            self.left.append(f'guest {name!r} has no definition any more')
            return
        found = domain.read(record.defined)
        if not _has(found.current.pins, guest.after):
            if not _has(found.current.pins, guest.before):
                self.left.append(
                    f'the definition of guest {name!r} has pins that somebody '
                    f'else wrote'
                )
                return
            standalone.write(
                self.libvirt, record, found, _rewritten(found, guest)
            )
        if record.live is not None and guest.receipt != NONE:
            self._record(guest, name)

    def _record(self, guest: Guest, name: str) -> None:
        """Give a running guest the receipt of its definition."""
        record = self.libvirt.record(name)
        assert record.live is not None
        live = domain.look(record.live).receipt
        if guest.receipt == REMOVED:
            if live is not None and not _tuned(live):
                self.libvirt.drop_metadata(name, receipt.NAMESPACE)
            return
        if live is not None and _has(dict(_promised(live)), guest.after):
            return
        stored = domain.read(standalone.definition(record))
        text = receipt.metadata(stored.root)
        if text is None:
            raise InvalidDocument(
                f'the definition of guest {name!r} has lost its receipt'
            )
        self.libvirt.set_metadata(
            name, text, receipt.PREFIX, receipt.NAMESPACE
        )


def _rewritten(found: Domain, guest: Guest) -> str:
    if guest.receipt == REMOVED and not _tuned(found.receipt):
        return domain.undo(found)
    return rewrite.definition(found, guest.mapped, guest.receipt != NONE)


def _tuned(found: receipt.Receipt | None) -> bool:
    """Return whether somebody has requested something for a guest."""
    return found is not None and bool(found.asked)


def _promised(found: receipt.Receipt) -> Iterator[tuple[int, Cpus]]:
    for pin in moving.promised(found):
        if pin.tag == pins.VCPU:
            yield pin.number, pin.cpus


def _has(found: Mapping[int, Cpus], wanted: Mapping[int, int]) -> bool:
    return all(
        found.get(vcpu) == frozenset({cpu}) for vcpu, cpu in wanted.items()
    )
