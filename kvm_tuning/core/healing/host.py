"""One plan for all guests of a host: cells, pins, and the order of moves.

1. Each NUMA cell is a problem; where it has cores of several kinds, each kind
   is one, as a vCPU must not land on a slower core.
2. A pCPU takes part where guests may have it (without a configuration: where
   one of them is) and nobody else holds it.
3. A guest that was promised few L3 domains and would get more of them, and
   guests that may not share a pCPU in a cell without a free one, are taken out
   and the rest is planned again.
4. Moves are ordered cell by cell (:mod:`.moves`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import Exhausted, Unsupported
from kvm_tuning.core.healing import moves
from kvm_tuning.core.healing.cell import Cell, Part
from kvm_tuning.core.healing.heal import Healing, heal
from kvm_tuning.core.healing.moves import Move
from kvm_tuning.core.healing.occupants import Occupant, doubled
from kvm_tuning.core.inventory import Inventory

#: A guest's UUID and the number of its vCPU.
Thread = tuple[str, int]
#: A NUMA cell, and the kind of its cores; None: there is one kind.
_Key = tuple[int, int | None]
_NO_ROOM = 'it may not share a pCPU even for a moment, and none is free there'
_STRICT = 'it was promised that it spans no more L3 domains than now'


@dataclass(frozen=True)
class HostPlan:
    """What healing would do to a host."""

    occupants: Sequence[Occupant]
    cells: Sequence[Healing]
    #: The NUMA cell of each of ``cells``.
    numbers: Sequence[int]
    order: Sequence[Move[Thread]]
    #: Of each of ``cells`` the pCPUs that a thread could wait on.
    free: Sequence[frozenset[int]]

    def mapped(
        self, occupant: Occupant, inventory: Inventory
    ) -> Mapping[int, int]:
        """Return each pCPU that a guest holds, and the one instead of it."""
        found: dict[int, int] = {}
        for vcpu, cpu in occupant.pins.items():
            new = self.pins[occupant.uuid][vcpu]
            found[cpu] = new
            if occupant.isolated:
                old_core, core = (
                    inventory.cpu[cpu].core,
                    inventory.cpu[new].core,
                )
                idle = sorted(old_core - {cpu}), sorted(core - {new})
                found.update(zip(*idle, strict=True))
        return found

    @cached_property
    def pins(self) -> Mapping[str, Mapping[int, int]]:
        """The new pins of each guest, by its UUID."""
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for plan in self.cells:
            for part, pins in zip(plan.cell.parts, plan.pins, strict=True):
                found[part.guest].update(pins)
        return found

    def partners(self, uuid: str) -> frozenset[str]:
        """Return the UUIDs of a guest and of those that it moves with: each
        goes where another one is.
        """
        now = {cpu: o.uuid for o in self.occupants for cpu in o.pins.values()}
        found: set[str] = set()
        ahead = {uuid}
        while ahead:
            found |= ahead
            goes = {
                now[cpu]
                for each in ahead
                for cpu in self.pins.get(each, {}).values()
                if cpu in now
            }
            comes = {
                other
                for other, pins in self.pins.items()
                if any(now.get(cpu) in ahead for cpu in pins.values())
            }
            ahead = (goes | comes) - found
        return frozenset(found)

    @cached_property
    def moved(self) -> int:
        """How many vCPUs get another pCPU."""
        return sum(plan.moved for plan in self.cells)

    @cached_property
    def doublings(self) -> int:
        """How many moves have two vCPUs on one pCPU for a moment."""
        return sum(move.doubles for move in self.order)

    @property
    def least(self) -> int | None:
        """The least excess of any plan; None: not proven."""
        found = [plan.least for plan in self.cells]
        if None in found:
            return None
        return sum(each for each in found if each is not None)


def make(
    inventory: Inventory,
    occupants: Sequence[Occupant],
    dedicated: frozenset[int] | None,
    taken: Mapping[int, str],
    budget: float | None = None,
    worth: float = 0.0,
) -> HostPlan:
    """Plan the guests of a host.

    :param dedicated: pCPUs that may be dedicated; None: those that have a
        guest.
    :param taken: pCPUs that somebody else holds, and who does.
    :param budget: most vCPUs that may move, as a share of all dedicated ones
        from 0 to 1; None: any number.
    :param worth: least L3 domains won per moved vCPU.
    :raises Unsupported: the L3 layout is unknown, or two guests have one pCPU.
    """
    for cpu, one, other in doubled(occupants):
        raise Unsupported(
            f'guests {one!r} and {other!r} both have a vCPU on pCPU {cpu}: '
            f'move one of them away first (guest audit)'
        )
    while True:
        host = _Host(inventory, occupants, dedicated, taken)
        occupants = host.occupants
        keys, cells = host.cells()
        most = None
        if budget is not None:
            most = int(budget * sum(len(o.pins) for o in occupants))
        plans = heal(cells, most, worth)
        found = [*_spread(plans, occupants)]
        if found:
            occupants = _staying(occupants, found, _STRICT)
            continue
        order: list[Move[Thread]] = []
        for plan in plans:
            try:
                order += host.order(plan)
            except Exhausted:
                found = [p.guest for p in plan.cell.parts]
                break
        if found:
            alone = [
                o.uuid
                for o in occupants
                if o.never_double and o.uuid in found and o.why is None
            ]
            occupants = _staying(occupants, alone, _NO_ROOM)
            continue
        return HostPlan(
            occupants,
            plans,
            [key[0] for key in keys],
            order,
            [host.free(plan) for plan in plans],
        )


def _spread(
    plans: Sequence[Healing], occupants: Sequence[Occupant]
) -> Collection[str]:
    """Return the guests that would span more than they were promised."""
    strict = {o.uuid for o in occupants if o.strict and o.why is None}
    return [
        part.guest
        for plan in plans
        for part, before, after in zip(
            plan.cell.parts, plan.before.over, plan.after.over, strict=True
        )
        if part.guest in strict and after > before
    ]


def _staying(
    occupants: Sequence[Occupant], guests: Collection[str], why: str
) -> list[Occupant]:
    return [
        replace(o, why=why) if o.uuid in guests and o.why is None else o
        for o in occupants
    ]


class _Host:
    def __init__(
        self,
        inventory: Inventory,
        occupants: Sequence[Occupant],
        dedicated: frozenset[int] | None,
        taken: Mapping[int, str],
    ) -> None:
        self.inventory = inventory
        held = frozenset(c for o in occupants for c in o.pins.values())
        idle = frozenset(c for o in occupants for c in o.idle)
        allowed = held | idle if dedicated is None else dedicated
        self.usable = (
            (allowed - taken.keys()) | held | idle
        ) & inventory.online
        self.idle = idle
        self.occupants = [
            replace(o, why=o.why or self._wall(o, allowed, taken))
            for o in occupants
        ]

    def _wall(
        self,
        occupant: Occupant,
        allowed: frozenset[int],
        taken: Mapping[int, str],
    ) -> str | None:
        """Return why nobody may take over the pCPUs of a guest."""
        own = frozenset(occupant.pins.values()) | occupant.idle
        if offline := own - self.inventory.online:
            return f'pCPU {cpuset.format(offline)} is not online'
        if outside := own - allowed:
            return (
                f'pCPU {cpuset.format(outside)} is not one that the '
                f'configuration dedicates'
            )
        for cpu in sorted(own & taken.keys()):
            return f'{taken[cpu]} holds its pCPU {cpu}, too'
        return None

    def _key(self, cpu: int) -> _Key:
        known = self.inventory.cpu[cpu]
        return known.cell, known.capacity

    def cells(self) -> tuple[list[_Key], list[Cell]]:
        """Return the problems, by NUMA cell and kind of core.

        :raises Unsupported: the kernel shows no L3 cache of a pCPU.
        """
        cores: dict[_Key, dict[frozenset[int], set[frozenset[int]]]]
        cores = defaultdict(lambda: defaultdict(set))
        threads: dict[_Key, int] = defaultdict(int)
        for cpu in sorted(self.usable):
            known = self.inventory.cpu[cpu]
            if known.l3 is None:
                raise Unsupported(
                    f'the kernel shows no L3 cache for pCPU {cpu}: nothing '
                    f'says which pCPUs belong together'
                )
            key = self._key(cpu)
            cores[key][known.l3].add(known.core)
            threads[key] = max(threads[key], len(known.core))
        keys = sorted(cores, key=lambda key: (key[0], key[1] or 0))
        return keys, [
            Cell(
                [
                    [
                        tuple(sorted(core & self.usable))
                        for core in sorted(cores[key][l3], key=min)
                    ]
                    for l3 in sorted(cores[key], key=min)
                ],
                self._parts(key),
                threads[key],
            )
            for key in keys
        ]

    def _parts(self, key: _Key) -> list[Part]:
        found = []
        for occupant in self.occupants:
            pins = {
                vcpu: cpu
                for vcpu, cpu in occupant.pins.items()
                if cpu in self.inventory.cpu and self._key(cpu) == key
            }
            if pins:
                found.append(
                    Part(
                        occupant.uuid,
                        pins,
                        isolated=occupant.isolated,
                        grouped=occupant.grouped,
                        fixed=occupant.why is not None,
                    )
                )
        return found

    def order(self, plan: Healing) -> list[Move[Thread]]:
        """Return the moves of a cell.

        :raises Exhausted: one may not be doubled, and nothing is free.
        """
        places = {
            (part.guest, vcpu): (cpu, pins[vcpu])
            for part, pins in zip(plan.cell.parts, plan.pins, strict=True)
            for vcpu, cpu in part.pins.items()
        }
        never = {o.uuid for o in self.occupants if o.never_double}
        return moves.order(
            places,
            self.free(plan),
            [thread for thread in places if thread[0] in never],
        )

    def free(self, plan: Healing) -> frozenset[int]:
        """Return the pCPUs of a cell that a thread could wait on."""
        held = {
            cpu
            for part, pins in zip(plan.cell.parts, plan.pins, strict=True)
            for cpu in (*part.pins.values(), *pins.values())
        }
        return frozenset(
            cpu
            for domain in plan.cell.domains
            for core in domain
            if not self._beside_isolated(core, plan)
            for cpu in core
            if cpu not in self.idle and cpu not in held
        )

    def _beside_isolated(self, core: tuple[int, ...], plan: Healing) -> bool:
        """Return whether an isolated guest has or gets a thread of a core."""
        return any(
            cpu in core
            for part, pins in zip(plan.cell.parts, plan.pins, strict=True)
            if part.isolated
            for cpu in (*part.pins.values(), *pins.values())
        )
