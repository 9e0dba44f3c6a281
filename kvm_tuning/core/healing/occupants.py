"""Running guests with dedicated vCPUs, and why one has to stay."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kvm_tuning.core import cpuset, moving, whole
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml import pins as xml_pins

#: Where helper threads may run, by the knobs that say so.
_HELPERS = ('kvm:emulator_cpus', 'kvm:iothread_cpus', 'kvm:vhost_cpus')
_POLICY = 'hw:cpu_thread_policy'
_LOCALITY = 'kvm:cpu_locality'
_GROUPED = 'kvm:cache_topology'


@dataclass(frozen=True, slots=True)
class Occupant:
    """A running guest, and the pCPUs of its dedicated vCPUs."""

    uuid: str
    name: str
    #: The pCPU of each dedicated vCPU.
    pins: Mapping[int, int]
    #: The idle thread siblings of an ``isolate`` guest.
    idle: frozenset[int] = frozenset()
    isolated: bool = False
    grouped: bool = False
    #: It may not share a pCPU even for a moment: it has a real-time scheduler,
    #: or has been promised that nobody preempts it.
    never_double: bool = False
    #: It may not span more L3 domains than now: that was promised.
    strict: bool = False
    #: It has no receipt yet.
    untuned: bool = False
    #: Why it stays; None: it may move.
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which guests take part."""

    #: Names or UUIDs; empty: all.
    guests: frozenset[str] = frozenset()
    #: Names or UUIDs of those that stay.
    keep: frozenset[str] = frozenset()
    #: Whether guests without a receipt that are pinned one to one do.
    untuned: bool = False
    #: The documents were captured: there are no definitions to compare.
    captured: bool = False
    #: UUIDs of guests with a job of libvirt, such as a migration.
    busy: frozenset[str] = field(default=frozenset())

    def leaves_out(self, record: Record) -> str | None:
        """Return why the choice leaves a guest where it is."""
        names = {record.name, record.uuid}
        if names & self.keep:
            return '--keep names it'
        if self.guests and not names & self.guests:
            return '--guests does not name it'
        if record.uuid in self.busy:
            return 'it is being migrated, saved or copied'
        return None


def read(
    records: Sequence[Record], inventory: Inventory, choice: Choice
) -> list[Occupant]:
    """Return the running guests that have a vCPU on a pCPU of its own.

    One whose document cannot be read is not among them: what it holds is in
    the ledger.
    """
    found = []
    for record in records:
        occupant = _occupant(record, inventory, choice)
        if occupant is not None and occupant.pins:
            found.append(occupant)
    return found


def placed(
    uuid: str,
    pins: Mapping[int, int],
    policy: str | None,
    inventory: Inventory,
    live: Domain | None,
    why: str | None = None,
) -> Occupant:
    """Return a guest that Nova has placed; it stays where its domain has
    other pins than Nova's record.

    :param pins: Nova's record of its dedicated vCPUs.
    :param policy: the thread policy of these, if any.
    :param live: its domain's live document, or the definition of one that
        does not run; None: there is none that can be read.
    :param why: it stays for a reason that only Nova knows.
    """
    asked: dict[str, str] = {}
    never = False
    if live is None:
        why = why or 'it has no domain that can be read'
    elif live.unreadable is not None:
        why = why or 'its receipt cannot be read'
    else:
        asked = _asked(live.receipt) | ({_POLICY: policy} if policy else {})
        why = (
            why
            or _elsewhere(live, pins)
            or _bound(live, asked)
            or _partial(live, pins, asked, inventory)
        )
        never = never_double(live)
    isolated = policy == 'isolate'
    return Occupant(
        uuid,
        uuid,
        pins,
        idle=_idle(pins, inventory) if isolated else frozenset(),
        isolated=isolated,
        grouped=_GROUPED in asked,
        never_double=never,
        strict=_strict(asked),
        why=why,
    )


def _elsewhere(live: Domain, pins: Mapping[int, int]) -> str | None:
    for vcpu, cpu in sorted(pins.items()):
        found = live.current.pins.get(vcpu, frozenset())
        if found != {cpu}:
            return (
                f'vCPU {vcpu} is pinned to '
                f'{cpuset.format(found) or "no pCPU"}, and Nova has recorded '
                f'pCPU {cpu}'
            )
    return None


def _strict(asked: Mapping[str, str]) -> bool:
    return (
        asked.get('kvm:cpu_locality_policy') == 'strict'
        and asked.get(_LOCALITY) == 'l3'
    )


def _occupant(
    record: Record, inventory: Inventory, choice: Choice
) -> Occupant | None:
    try:
        live, defined = record.running, record.definition
        if live is None or live.unreadable is not None:
            return None
        receipt = live.receipt
        held, problem = _dedicated(live, record)
    except InvalidDocument:
        return None
    if not held:
        return None
    asked = _asked(receipt)
    isolated = asked.get(_POLICY) == 'isolate'
    why = (
        choice.leaves_out(record)
        or problem
        or _bound(live, asked)
        or ('Nova places it' if live.current.nova else None)
        or _partial(live, held, asked, inventory)
        or (None if choice.captured else _unsettled(live, defined))
        or (_untuned(live, choice) if receipt is None else None)
    )
    return Occupant(
        record.uuid,
        record.name,
        held,
        idle=_idle(held, inventory) if isolated else frozenset(),
        isolated=isolated,
        grouped=_GROUPED in asked,
        never_double=never_double(live),
        strict=_strict(asked),
        untuned=receipt is None,
        why=why,
    )


def _asked(receipt: Receipt | None) -> dict[str, str]:
    return (
        {}
        if receipt is None
        else {each.key: each.text for each in receipt.asked}
    )


def _dedicated(
    live: Domain, record: Record
) -> tuple[dict[int, int], str | None]:
    """Return the pCPU of each dedicated vCPU, and what is wrong with one.

    :raises InvalidDocument: the document cannot be understood.
    """
    guest = live.current
    wanted = dict(guest.pins)
    own: frozenset[int] | None = None
    if live.receipt is not None:
        promised = {
            pin.number: pin.cpus
            for pin in moving.promised(live.receipt)
            if pin.tag == xml_pins.VCPU
        }
        if promised:
            wanted = promised
        if live.receipt.claim is not None:
            own = live.receipt.claim.pcpus
    held: dict[int, int] = {}
    problem = None
    for vcpu, cpus in sorted(wanted.items()):
        if len(cpus) != 1 or (own is not None and not cpus <= own):
            continue
        (held[vcpu],) = cpus
        now = record.vcpus.get(vcpu, cpus if not record.vcpus else None)
        if now is None:
            problem = problem or f'vCPU {vcpu} is not plugged in'
        elif now != cpus:
            problem = problem or (
                f'vCPU {vcpu} runs on pCPU {cpuset.format(now)}, not on '
                f'{cpuset.format(cpus)} as it is pinned'
            )
    twice = [cpu for cpu, count in Counter(held.values()).items() if count > 1]
    if twice:
        problem = f'two of its vCPUs are on pCPU {min(twice)}'
        held = {v: c for v, c in held.items() if c not in twice}
    return held, problem


def _bound(live: Domain, asked: Mapping[str, str]) -> str | None:
    """Return what of a guest is bound to the pCPUs that it has."""
    for tag in ('cachetune', 'memorytune'):
        if live.root.find(f'cputune/{tag}') is not None:
            return f'<{tag}> binds it to its L3 domain'
    for knob in _HELPERS:
        if asked.get(knob) == 'l3':
            return f'{knob}=l3 binds its helper threads to its L3 domain'
    return None


def _partial(
    live: Domain,
    held: Mapping[int, int],
    asked: Mapping[str, str],
    inventory: Inventory,
) -> str | None:
    """Return why a guest stays whose thread siblings must stay together and
    have a core with somebody else.
    """
    topology = live.root.find('cpu/topology')
    text = '1' if topology is None else topology.get('threads', '1')
    seen = whole.number(text)
    if seen is None:
        return f'how many threads a core of it has is not known: {text[:20]!a}'
    if seen < 2 and asked.get(_POLICY) != 'require':
        return None
    on_core = Counter(
        inventory.cpu[cpu].core
        for cpu in held.values()
        if cpu in inventory.cpu
    )
    for core, count in on_core.items():
        if 1 < count < len(core):
            return (
                f'its thread siblings have a part of the core of pCPUs '
                f'{cpuset.format(core)}'
            )
    return None


def _unsettled(live: Domain, defined: Domain | None) -> str | None:
    """Return how what runs differs from what the next start would bring."""
    if defined is None:
        return 'it is transient: it has no definition'
    if defined.unreadable is not None:
        return 'its definition has an unreadable receipt'
    if (live.receipt is None) != (defined.receipt is None) or (
        live.receipt is not None
        and defined.receipt is not None
        and _standing(live.receipt) != _standing(defined.receipt)
    ):
        return 'it was tuned or untuned after its start: restart it first'
    if live.current.pins != defined.current.pins:
        return 'its definition has other pins than it: restart it first'
    return None


def _standing(receipt: Receipt) -> object:
    """Return what a guest was promised, and where."""
    return (
        receipt.flavor,
        receipt.asked,
        sorted(promise.path for promise in receipt.promises),
        set(moving.promised(receipt)),
    )


def _untuned(live: Domain, choice: Choice) -> str | None:
    """Return why a guest without a receipt stays."""
    if not choice.untuned:
        return 'it was never tuned (--include-untuned takes it in)'
    guest = live.current
    if len(guest.pins) < guest.vcpus or any(
        len(cpus) != 1 for cpus in guest.pins.values()
    ):
        return 'its vCPUs are not pinned one to one'
    return None


def _idle(held: Mapping[int, int], inventory: Inventory) -> frozenset[int]:
    own = frozenset(held.values())
    cores = [inventory.cpu[c].core for c in own if c in inventory.cpu]
    return frozenset[int]().union(*cores) - own


def never_double(live: Domain) -> bool:
    """Return whether a guest may not share a pCPU even for a moment."""
    if live.root.find('cputune/vcpusched') is not None:
        return True
    hint = live.root.find('features/kvm/hint-dedicated')
    return hint is not None and hint.get('state') == 'on'


def doubled(occupants: Collection[Occupant]) -> Iterator[tuple[int, str, str]]:
    """Yield each pCPU that two guests have for themselves, and their names."""
    first: dict[int, str] = {}
    for occupant in occupants:
        for cpu in occupant.pins.values():
            if cpu in first and first[cpu] != occupant.name:
                yield cpu, first[cpu], occupant.name
            first.setdefault(cpu, occupant.name)
