"""Whether a running guest can move to other pCPUs, and what would move."""

from collections.abc import Iterator
from typing import NamedTuple

from kvm_tuning.core import cpuset
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml import paths, pins

#: Elements of ``<cputune>`` that pin threads, and what they pin.
THREADS = {
    pins.VCPU: 'vCPU',
    pins.EMULATOR: 'emulator',
    pins.IOTHREAD: 'iothread',
}
#: What may differ between a receipt and a new plan when a guest moves.
_PLACE = frozenset({'cputune', 'numatune'})


class Pin(NamedTuple):
    """One pin: of a vCPU, an iothread, or the emulator."""

    #: A key of :data:`THREADS`.
    tag: str
    #: The number of the vCPU or iothread; 0 for the emulator.
    number: int
    cpus: frozenset[int]


def wanted(plan: Plan) -> Iterator[Pin]:
    """Yield every pin that a plan wants."""
    for effect in plan.effects:
        if isinstance(effect, Element):
            pin = _pin(effect.path, effect.attributes.get('cpuset'))
            if pin is not None:
                yield pin


def promised(receipt: Receipt) -> Iterator[Pin]:
    """Yield every pin that a receipt has."""
    for promise in receipt.promises:
        if isinstance(promise, Promise):
            pin = _pin(promise.path, promise.wanted.get('cpuset'))
            if pin is not None:
                yield pin


def _pin(path: str, text: str | None) -> Pin | None:
    steps = paths.steps(path)
    if len(steps) != 2 or steps[1].tag not in THREADS or text is None:
        return None
    number = int(steps[1].keys[0].value) if steps[1].keys else 0
    return Pin(steps[1].tag, number, cpuset.parse(text))


def cells(receipt: Receipt, inventory: Inventory) -> frozenset[int]:
    """Return the host cells in which a guest's vCPUs were promised to be."""
    return frozenset().union(
        *(
            _cells(pin.cpus, inventory)
            for pin in promised(receipt)
            if pin.tag == pins.VCPU
        )
    )


def left(receipt: Receipt, plan: Plan, inventory: Inventory) -> frozenset[int]:
    """Return the cells that vCPUs would enter without having been there."""
    before = {pin[:2]: pin.cpus for pin in promised(receipt)}
    away: frozenset[int] = frozenset()
    for pin in wanted(plan):
        if pin.tag == pins.VCPU and pin[:2] in before:
            away |= _cells(pin.cpus, inventory) - _cells(
                before[pin[:2]], inventory
            )
    return away


def _cells(cpus: frozenset[int], inventory: Inventory) -> frozenset[int]:
    known = inventory.cpu
    return frozenset(known[cpu].cell for cpu in cpus if cpu in known)


def check_place_alone(name: str, receipt: Receipt, plan: Plan) -> None:
    """Refuse a plan that changes more than where a guest runs.

    :raises Unsupported: names the first address that would change.
    """
    before: set[tuple[str, str, str | None]] = set()
    for promise in receipt.promises:
        before.add((promise.path, '', None))
        if isinstance(promise, Promise):
            before.update((promise.path, *w) for w in promise.wanted.items())
    after: set[tuple[str, str, str | None]] = set()
    for effect in plan.effects:
        if isinstance(effect, Element | Absent):
            after.add((effect.path, '', None))
        if isinstance(effect, Element):
            after.update((effect.path, *w) for w in effect.attributes.items())
            if effect.text is not None:
                after.add((effect.path, '#text', effect.text))
    other = {
        f'{path}/@{attribute}' if attribute else path
        for path, attribute, _value in before ^ after
        if not attribute or paths.steps(path)[0].tag not in _PLACE
    }
    if other:
        raise Unsupported(
            f'more of guest {name!r} would change than where it runs '
            f'({min(other)}): tune it again, and restart it'
        )


def check_memory(live: Domain, away: frozenset[int]) -> None:
    """Refuse a move to the cells ``away`` that would leave memory behind.

    :raises Unsupported: the memory cannot follow.
    """
    root = live.root
    move = f'guest {live.current.name!r} cannot move to NUMA cell ' + (
        cpuset.format(away)
    )
    if root.find('memoryBacking/hugepages') is not None:
        raise Unsupported(
            f'{move}: its huge pages stay where they are; restart it there'
        )
    # VFIO pins all of a guest's memory.
    locked = root.find('memoryBacking/locked') is not None
    if locked or live.current.host_devices:
        raise Unsupported(f'{move}: its memory is locked; restart it there')
    # formatdomain: strict is the default mode.
    modes = {
        element.get('mode', 'strict')
        for path in ('numatune/memory', 'numatune/memnode')
        for element in root.iterfind(path)
    }
    if modes & {'strict', 'restrictive'}:
        nodes = cpuset.format(live.current.memory_nodes or ())
        raise Unsupported(
            f'{move}: its memory is bound to cell {nodes} (numatune strict); '
            f'restart it there'
        )
