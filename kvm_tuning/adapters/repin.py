"""Moves a running guest to other pCPUs, and says so in its receipt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lxml import etree

from kvm_tuning import loader
from kvm_tuning.adapters import lock, standalone
from kvm_tuning.conf import placement
from kvm_tuning.core import (
    cpuset,
    domain,
    paths,
    plan,
    recall,
    receipt,
)
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import (
    ConfigInvalid,
    KvmTuningError,
    Unsupported,
)
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.restart import Pending
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook

if TYPE_CHECKING:
    from oslo_config import cfg

_PINS = {
    'vcpupin': 'vCPU',
    'emulatorpin': 'emulator',
    'iothreadpin': 'iothread',
}
#: What may differ between the receipt and the new plan.
_MOVES = frozenset({'cputune', 'numatune'})


class Libvirt(standalone.Libvirt, Protocol):
    """What is needed of libvirt beside what tuning needs."""

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

    #: ``vcpupin``, ``emulatorpin`` or ``iothreadpin``.
    pin: str
    number: int
    before: frozenset[int]
    after: frozenset[int]

    @property
    def thread(self) -> str:
        """What it is, for a person."""
        if self.pin == 'emulatorpin':
            return 'emulator'
        return f'{_PINS[self.pin]} {self.number}'


@dataclass(frozen=True, slots=True)
class Repinned:
    """What became of a guest."""

    guest: str
    plan: Plan
    moves: tuple[Move, ...]
    pending: tuple[Pending, ...] = ()
    #: Whether the definition is another one now.
    rewritten: bool = False
    #: Whether vCPUs are now in other NUMA cells than their memory.
    memory_left: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.moves) or self.rewritten


def repin(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    name: str,
    cpus: str | None = None,
    root: str = '/',
) -> Repinned:
    """Place a running guest anew, under the lock, and move its threads.

    Inside its NUMA cells it moves freely; to others only when its memory can
    follow. The definition and both receipts are rewritten.

    :param cpus: CPU list; its dedicated vCPUs go to these. None: any in its
        cells.
    :raises Refused: it does not run, has no receipt, or cannot move there.
    :raises LibvirtFailed: a call failed; the threads are back where they
        were.
    """
    with lock.held(conf):
        record = libvirt.record(name, secure=True)
        live, defined = _documents(record)
        here = standalone.site(libvirt, conf, defined.guest, root=root)
        here = _within(here, record, live, cpus)
        made = _plan(hooks, live, defined, here)
        moves = tuple(_moves(libvirt, record, made))
        away = _leaves(live, made, here.inventory)
        if away:
            _check_memory(live, away)
        change = _apply(libvirt, record, live, defined, made, moves)
    return Repinned(
        record.name, made, moves, change.pending, change.changed, bool(away)
    )


def _documents(record: Record) -> tuple[Domain, Domain]:
    """Return what runs and what is defined."""
    if record.live is None:
        raise Unsupported(
            f'guest {record.name!r} does not run: guest tune places it anew'
        )
    if record.defined is None:
        raise Unsupported(f'guest {record.name!r} has no definition')
    live, defined = domain.read(record.live), domain.read(record.defined)
    if live.receipt is None:
        raise Unsupported(
            f'guest {record.name!r} runs as it was before it was tuned: '
            f'restart it, or tune it first'
            if defined.receipt is not None
            else f'guest {record.name!r} was never tuned: tune it first'
        )
    if defined.receipt is None or (
        _standing(live.receipt) != _standing(defined.receipt)
    ):
        raise Unsupported(
            f'the definition of guest {record.name!r} was changed since it '
            f'was started: restart it first'
        )
    return live, defined


def _standing(found: receipt.Receipt) -> object:
    """Return what of a receipt is equal as long as only pins have moved."""
    return found.flavor, found.asked, sorted(p.path for p in found.promises)


def _within(
    here: Site, record: Record, live: Domain, cpus: str | None
) -> Site:
    """Return the site with only the pCPUs to which the guest may go."""
    allowed = here.policy.dedicated_cpus
    if allowed is None:
        return here
    if cpus is None:
        cells = {
            here.inventory.cpu[cpu].cell
            for pin in live.current.pins.values()
            for cpu in pin
            if cpu in here.inventory.cpu
        }
        chosen = allowed.intersection(
            cpu.id for cpu in here.inventory.cpus if cpu.cell in cells
        )
        # A guest without pins, or one that was pinned outside of the set.
        chosen = chosen or allowed
    else:
        wanted = placement.cpus('--cpus', cpus, here.inventory) or frozenset()
        if not wanted <= allowed:
            raise ConfigInvalid(
                f'--cpus {cpus}: pCPU {cpuset.format(wanted - allowed)} is '
                f'not in [placement] dedicated_cpus = '
                f'{cpuset.format(allowed)}'
            )
        chosen = wanted
    shared = here.policy.shared_cpus
    if shared is None:
        shared = here.inventory.online - allowed
    return replace(
        here,
        policy=replace(here.policy, dedicated_cpus=chosen, shared_cpus=shared),
    )


def _plan(
    hooks: Sequence[Hook], live: Domain, defined: Domain, here: Site
) -> Plan:
    """Plan the guest again, by its receipt.

    :raises Unsupported: more than its place would change.
    """
    assert live.receipt is not None
    asked = recall.request(live.receipt, defined.current, loader.knobs(hooks))
    made = plan.make(hooks, asked, defined.guest, here)
    before = {
        (promise.path, name, value)
        for promise in live.receipt.promises
        if isinstance(promise, Promise)
        for name, value in promise.wanted.items()
    } | {(p.path, '', None) for p in live.receipt.promises}
    after: set[tuple[str, str, str | None]] = set()
    for effect in made.effects:
        if isinstance(effect, Element | Absent):
            after.add((effect.path, '', None))
        if isinstance(effect, Element):
            after.update((effect.path, *each) for each in _wanted(effect))
    other = {
        (path, name)
        for path, name, value in before ^ after
        if not name or paths.steps(path)[0].tag not in _MOVES
    }
    if other:
        path, name = min(other)
        raise Unsupported(
            f'guest {defined.current.name!r} would change in more than its '
            f'place ({path}{"/@" if name else ""}{name}): tune it again, and '
            f'restart it'
        )
    return made


def _wanted(effect: Element) -> Iterator[tuple[str, str | None]]:
    yield from effect.attributes.items()
    if effect.text is not None:
        yield '#text', effect.text


def _pins(made: Plan) -> Iterator[tuple[str, int, frozenset[int]]]:
    """Yield the kind, the number and the pCPUs of every pin of a plan."""
    for effect in made.effects:
        if not isinstance(effect, Element):
            continue
        steps = paths.steps(effect.path)
        wanted = effect.attributes.get('cpuset')
        if len(steps) == 2 and steps[1].tag in _PINS and wanted is not None:
            number = int(steps[1].keys[0].value) if steps[1].keys else 0
            yield steps[1].tag, number, cpuset.parse(wanted)


def _moves(libvirt: Libvirt, record: Record, made: Plan) -> Iterator[Move]:
    """Yield what is elsewhere than the plan wants it."""
    for pin, number, after in _pins(made):
        if pin == 'vcpupin':
            before = record.vcpus.get(number)
        elif pin == 'iothreadpin':
            before = record.iothreads.get(number)
        else:
            before = libvirt.emulator_pin(record.name)
        # None: a vCPU that is not plugged; its pin stands in the definition.
        if before is not None and before != after:
            yield Move(pin, number, before, after)


def _leaves(live: Domain, made: Plan, inventory: Inventory) -> frozenset[int]:
    """Return the cells to which vCPUs would go from other ones."""

    def cells(cpus: frozenset[int]) -> frozenset[int]:
        return frozenset(
            inventory.cpu[cpu].cell for cpu in cpus if cpu in inventory.cpu
        )

    away: frozenset[int] = frozenset()
    for pin, vcpu, after in _pins(made):
        before = live.current.pins.get(vcpu)
        if pin == 'vcpupin' and before is not None:
            away |= cells(after) - cells(before)
    return away


def _check_memory(live: Domain, away: frozenset[int]) -> None:
    """Refuse a move that would leave the memory behind."""
    name, root = live.current.name, live.root
    to = f'to NUMA cell {cpuset.format(away)}'
    if root.find('memoryBacking/hugepages') is not None:
        raise Unsupported(
            f'guest {name!r} cannot move {to}: its huge pages stay where '
            f'they are; restart it there'
        )
    if root.find('memoryBacking/locked') is not None or (
        live.current.host_devices
    ):
        raise Unsupported(
            f'guest {name!r} cannot move {to}: its memory is locked'
        )
    bound = [
        *root.iterfind('numatune/memory'),
        *root.iterfind('numatune/memnode'),
    ]
    # formatdomain: strict is the default mode.
    if any(
        e.get('mode', 'strict') in ('strict', 'restrictive') for e in bound
    ):
        raise Unsupported(
            f'guest {name!r} cannot move {to}: its memory is bound to cell '
            f'{cpuset.format(live.current.memory_nodes or ())} (numatune '
            f'strict); restart it there'
        )


def _apply(
    libvirt: Libvirt,
    record: Record,
    live: Domain,
    defined: Domain,
    made: Plan,
    moves: Sequence[Move],
) -> standalone.Change:
    """Move the threads, then write it down; move back when that fails."""
    done: list[Move] = []
    try:
        for move in moves:
            _pin(libvirt, record.name, move, move.after)
            done.append(move)
        change = standalone.write(
            libvirt, record, defined, domain.tune(defined, made)
        )
        libvirt.set_metadata(
            record.name,
            _receipt(domain.tune(live, made)),
            receipt.PREFIX,
            receipt.NAMESPACE,
        )
    except KvmTuningError:
        for move in reversed(done):
            _pin(libvirt, record.name, move, move.before)
        raise
    return change


def _pin(
    libvirt: Libvirt, name: str, move: Move, cpus: frozenset[int]
) -> None:
    if move.pin == 'vcpupin':
        libvirt.pin_vcpu(name, move.number, cpus)
    elif move.pin == 'iothreadpin':
        libvirt.pin_iothread(name, move.number, cpus)
    else:
        libvirt.pin_emulator(name, cpus)


def _receipt(xml: str) -> str:
    """Return the receipt of a domain as libvirt's setMetadata takes it.

    libvirt declares the prefix on the element itself (virXMLNewNs in
    virDomainDefSetMetadata), and fails where it stands already: the receipt
    goes in with another one.
    """
    found = receipt.find(domain.read(xml).root)
    assert found is not None
    element = etree.Element(
        found.tag,
        {str(key): str(value) for key, value in found.attrib.items()},
        nsmap={'r': receipt.NAMESPACE},
    )
    element.extend(list(found))
    return etree.tostring(element, encoding='unicode')
