"""Who holds what, read from the domains of a host.

A claim comes from the receipts of all defined domains and from what every
domain actually has, receipt or not: the pins it was given by hand, the
affinity of its threads, its host devices and its huge pages.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from kvm_tuning.core import domain, moving
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml import pins

#: In the metadata of each guest that Nova made.
_NOVA = 'metadata/{http://openstack.org/xmlns/libvirt/nova/1.1}instance'

#: An element that pins, and the number of what it pins.
_Pin = tuple[str, int]

_Key = TypeVar('_Key')
_Pages = Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class Record:
    """What libvirt reports about one domain."""

    name: str
    uuid: str
    #: The definition; None for a transient domain.
    defined: str | None
    #: The live document; None for a domain that does not run.
    live: str | None
    #: Where the threads of a running domain may actually run, by vCPU and by
    #: iothread. Empty: unknown.
    vcpus: Mapping[int, frozenset[int]] = field(default_factory=dict)
    iothreads: Mapping[int, frozenset[int]] = field(default_factory=dict)

    # Parsed once, however many ask.

    @cached_property
    def running(self) -> Domain | None:
        """What runs.

        :raises InvalidDocument: it is not a domain.
        """
        return None if self.live is None else domain.look(self.live)

    @cached_property
    def definition(self) -> Domain | None:
        """The definition.

        :raises InvalidDocument: it is not a domain.
        """
        return None if self.defined is None else domain.look(self.defined)


def read(
    records: Iterable[Record],
    online: frozenset[int],
    dedicated: frozenset[int] | None,
) -> Ledger:
    """Return all claims of the domains in ``records``.

    A pCPU is held by a domain without a receipt when it is one of
    ``dedicated`` and something of the domain is pinned to it. A thread that
    may run on all online pCPUs, or on all dedicated ones when there are more
    of them than vCPUs, is not pinned: it floats, and holds nothing. Nor does a
    guest whose vCPUs Nova lets share pCPUs, because Nova pins dedicated vCPUs
    one by one.

    :param online: the host's pCPUs.
    :param dedicated: those that may be dedicated; None: any.
    """
    within = online if dedicated is None else dedicated
    claims: list[Claim] = []
    for record in records:
        claims += _claims(record, online, within)
    return Ledger(tuple(claims))


def promised(found: Domain, record: Record) -> Claim | None:
    """Return the claim of a domain's receipt; None where it has none."""
    if found.receipt is None or found.receipt.claim is None:
        return None
    return replace(found.receipt.claim, owner=record.uuid, name=record.name)


def _claims(
    record: Record, online: frozenset[int], within: frozenset[int]
) -> Iterator[Claim]:
    running: Claim | None = None
    live, defined = _documents(record)
    if record.live is not None:
        running = (
            _affinity_claim(record, online, within)
            if live is None
            else _live_claim(record, live, online, within)
        )
        yield running
    if defined is not None:
        claim = _defined_claim(record, defined, online, within)
        if running is not None:
            claim = _beyond(claim, running)
        if _holds(claim):
            yield claim


def _documents(record: Record) -> tuple[Domain | None, Domain | None]:
    """Return what runs and the definition; None for what is not a domain
    that we understand: one guest's document stops no other guest.
    """
    found: list[Domain | None] = []
    for name in ('running', 'definition'):
        try:
            each: Domain | None = getattr(record, name)
            if each is not None:
                # Its facts may be what cannot be understood.
                _ = each.current
        except InvalidDocument:
            each = None
        found.append(each)
    return found[0], found[1]


def _affinity_claim(
    record: Record, online: frozenset[int], within: frozenset[int]
) -> Claim:
    """Return what a running guest holds by where its threads may run, where
    its document says nothing.
    """
    real = [*record.vcpus.values(), *record.iothreads.values()]
    return Claim(
        owner=record.uuid,
        name=record.name,
        pcpus=_held(real, len(record.vcpus), online, within),
    )


def _beyond(claim: Claim, running: Claim) -> Claim:
    """Return what a definition holds beyond what runs: it was tuned since the
    start.
    """
    return replace(
        claim,
        pcpus=claim.pcpus - running.pcpus,
        shared=frozenset(),
        shared_vcpus=0,
        pages=_more(claim.pages, running.pages),
        memory_kib=_more(claim.memory_kib, running.memory_kib),
        devices=claim.devices - running.devices,
    )


def _more(
    wanted: Mapping[_Key, int], has: Mapping[_Key, int]
) -> dict[_Key, int]:
    return {
        key: count - has.get(key, 0)
        for key, count in wanted.items()
        if count > has.get(key, 0)
    }


def _holds(claim: Claim) -> bool:
    return bool(
        claim.pcpus
        or claim.shared
        or claim.pages
        or claim.memory_kib
        or claim.devices
    )


def _defined_claim(
    record: Record,
    defined: Domain,
    online: frozenset[int],
    within: frozenset[int],
) -> Claim:
    devices = _devices(defined.current)
    claim = promised(defined, record)
    pins = _pins(defined, claimed=claim is not None)
    if claim is not None:
        # Whatever its receipt says that it holds.
        pins += defined.current.pins.values()
    held = _held(pins, defined.current.vcpus, online, within)
    if claim is not None:
        return replace(
            claim,
            pcpus=claim.pcpus
            | (held - claim.shared)
            | _alone(defined.current, online, within),
            devices=claim.devices | devices,
        )
    return Claim(
        owner=record.uuid, name=record.name, pcpus=held, devices=devices
    )


def _live_claim(
    record: Record,
    live: Domain,
    online: frozenset[int],
    within: frozenset[int],
) -> Claim:
    guest = live.current
    claim = promised(live, record)
    real = [*record.vcpus.values(), *record.iothreads.values()]
    if claim is not None:
        # The helper threads of such a guest, when as promised, hold what the
        # receipt says.
        pins = [*guest.pins.values(), *record.vcpus.values()]
        pins += _pins(live, claimed=True)
    else:
        pins = _pins(live, real)
    found = Claim(
        owner=record.uuid,
        name=record.name,
        pcpus=_held(pins, guest.vcpus, online, within),
        shared=_floating(record, guest, online, within),
        shared_vcpus=sum(
            not _pinned(cpus, guest.vcpus, online, within) or not cpus & within
            for cpus in record.vcpus.values()
        ),
        pages=_pages(guest),
        pages_in_use=True,
        memory_kib=_memory(guest),
        devices=_devices(guest),
    )
    if claim is None and _shares(live):
        return replace(
            found,
            shared=frozenset().union(*record.vcpus.values()) & online,
            shared_vcpus=len(record.vcpus),
        )
    if claim is None:
        return found
    return replace(
        claim,
        pcpus=claim.pcpus
        | (found.pcpus - claim.shared)
        | _alone(guest, online, within),
        pages_in_use=True,
        devices=claim.devices | found.devices,
    )


def _alone(
    guest: Guest, online: frozenset[int], within: frozenset[int]
) -> frozenset[int]:
    """Return the dedicated pCPUs that a vCPU is pinned to alone: they are
    held, even where a receipt calls them shared.

    Where any pCPU may be dedicated, one may also be all that is shared.
    """
    if within == online:
        return frozenset()
    single = [cpus for cpus in guest.pins.values() if len(cpus) == 1]
    return frozenset[int]().union(*single) & within


def _devices(guest: Guest) -> frozenset[str]:
    """Return the host's functions and NICs that a guest has to itself: the
    kernel gives a NIC with a macvtap of mode passthrough to no other.
    """
    return frozenset(guest.host_devices).union(
        f'nic/{nic.source["dev"]}'
        for nic in guest.interfaces
        if nic.type == 'direct'
        and nic.source.get('mode') == 'passthrough'
        and 'dev' in nic.source
    )


def _pins(
    found: Domain,
    real: Iterable[frozenset[int]] = (),
    claimed: bool = False,
) -> list[frozenset[int]]:
    """Return every pin that the XML has, and where threads actually run; for
    Nova's guests, only pins to a pCPU that is not shared.

    :param claimed: without those that the receipt promises: what they hold is
        in its claim.
    """
    known = _promised(found.receipt) if claimed else frozenset[_Pin]()
    pins = [c for pin, c in _written(found.current) if pin not in known]
    pins += real
    if not _of_nova(found):
        return pins
    return [] if _shares(found) else [c for c in pins if len(c) == 1]


def _written(guest: Guest) -> Iterator[tuple[_Pin, frozenset[int]]]:
    """Yield every pin that the XML has."""
    for vcpu, cpus in guest.pins.items():
        yield (pins.VCPU, vcpu), cpus
    for number, cpus in guest.iothread_pins.items():
        yield (pins.IOTHREAD, number), cpus
    if guest.emulator_pin is not None:
        yield (pins.EMULATOR, 0), guest.emulator_pin
    if guest.cpuset is not None and len(guest.pins) < guest.vcpus:
        yield ('vcpu', 0), guest.cpuset


def _promised(receipt: Receipt | None) -> frozenset[_Pin]:
    if receipt is None:
        return frozenset()
    return frozenset(pin[:2] for pin in moving.promised(receipt))


def _of_nova(found: Domain) -> bool:
    return found.root.find(_NOVA) is not None


def _shares(found: Domain) -> bool:
    """Return whether Nova has pinned none of the vCPUs of a guest of
    its own.
    """
    return _of_nova(found) and not found.current.pins


def _held(
    pins: Iterable[frozenset[int]],
    vcpus: int,
    online: frozenset[int],
    within: frozenset[int],
) -> frozenset[int]:
    held: set[int] = set()
    for cpus in pins:
        if _pinned(cpus, vcpus, online, within):
            held |= cpus & within
    return frozenset(held)


def _pinned(
    cpus: frozenset[int],
    vcpus: int,
    online: frozenset[int],
    within: frozenset[int],
) -> bool:
    """Return whether a set of pCPUs is a pin rather than a range to float
    over.
    """
    if len(online) > 1 and cpus >= online:
        return False
    return not (cpus >= within and len(cpus) > vcpus)


def _floating(
    record: Record,
    guest: Guest,
    online: frozenset[int],
    within: frozenset[int],
) -> frozenset[int]:
    """Return the pCPUs over which vCPUs float."""
    floating: set[int] = set()
    for cpus in record.vcpus.values():
        if not _pinned(cpus, guest.vcpus, online, within):
            floating |= cpus & online
        elif not cpus & within:
            floating |= cpus
    return frozenset(floating)


def _pages(guest: Guest) -> _Pages:
    """Return the huge pages of a guest when its page size and cell are known;
    those of other guests are missing from the host's free pages anyway.
    """
    sizes, nodes = guest.huge_pages_kib, guest.memory_nodes or frozenset()
    if len(sizes) != 1 or len(nodes) != 1:
        return {}
    return {(min(nodes), sizes[0]): -(-guest.memory_kib // sizes[0])}


def _memory(guest: Guest) -> Mapping[int, int]:
    nodes = guest.memory_nodes or frozenset()
    if guest.huge_pages_kib or len(nodes) != 1:
        return {}
    return {min(nodes): guest.memory_kib}
