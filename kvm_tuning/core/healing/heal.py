"""Heal the NUMA cells of a host: one plan for all of its running guests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from kvm_tuning.core.healing import gather, least, polish, repack, seats
from kvm_tuning.core.healing.cell import Cell
from kvm_tuning.core.healing.table import Table

#: The pins of each part of a cell, in the cell's order.
Pins = Sequence[Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How well the guests of a NUMA cell sit."""

    #: Of each part, the L3 domains more than this hardware needs for it.
    over: tuple[int, ...]
    #: Cores that two guests share.
    shared_cores: int

    @property
    def excess(self) -> int:
        """L3 domains more than the fewest, summed over the parts."""
        return sum(self.over)


@dataclass(frozen=True)
class Healing:
    """The plan for one NUMA cell."""

    cell: Cell
    pins: Pins
    #: The least excess that any plan could have; None: not proven.
    least: int | None

    @cached_property
    def before(self) -> Standing:
        """How the guests sit now."""
        return standing(self.cell, [part.pins for part in self.cell.parts])

    @cached_property
    def after(self) -> Standing:
        """How the guests will sit."""
        return standing(self.cell, self.pins)

    @cached_property
    def moved(self) -> int:
        """How many vCPUs get another pCPU."""
        return sum(
            cpu != part.pins[vcpu]
            for part, pins in zip(self.cell.parts, self.pins, strict=True)
            for vcpu, cpu in pins.items()
        )


def standing(cell: Cell, pins: Pins) -> Standing:
    """Return how well guests with these pins sit."""
    domain_of = cell.domain_of()
    over = tuple(
        max(0, len({domain_of[cpu] for cpu in each.values()}) - fewest)
        if not part.grouped
        else 0
        for part, each, fewest in zip(
            cell.parts, pins, Table.fewest_of_parts(cell), strict=True
        )
    )
    return Standing(over, seats.shared_cores(cell, pins))


def heal(
    cells: Sequence[Cell], budget: int | None = None, worth: float = 0.0
) -> list[Healing]:
    """Return the plan for the NUMA cells of a host.

    It is never worse than the present. Without a budget its excess is the
    least wherever that is known (:mod:`.least`).

    :param budget: most vCPUs of the host that may move; None: any number.
    :param worth: least L3 domains won, or cores no longer shared, per moved
        vCPU; what is worth less is left as it is.
    """
    plans = [_whole(cell) for cell in cells]
    whole = [
        plan if _is_worth(plan, worth) else _nothing(plan) for plan in plans
    ]
    if budget is None or sum(plan.moved for plan in whole) <= budget:
        return whole
    return _within(plans, budget, worth)


def _is_worth(plan: Healing, worth: float) -> bool:
    won = plan.before.excess - plan.after.excess
    won += max(0, plan.before.shared_cores - plan.after.shared_cores)
    return won > 0 and won >= worth * plan.moved


def _nothing(plan: Healing) -> Healing:
    cell = plan.cell
    return Healing(cell, [part.pins for part in cell.parts], plan.least)


def _whole(cell: Cell) -> Healing:
    table = Table(cell)
    start = table.mark()
    while True:
        mark = table.mark()
        gather.gather(table)
        polish.polish(table)
        if table.mark() == mark:
            break
    fewest = least.excess(table)
    if fewest is not None and table.excess > fewest:
        _repack(table, start)
    plan = Healing(cell, seats.seat(cell, table), fewest)
    if plan.after.excess in (0, fewest, plan.before.excess):
        return plan
    # From new seats another step may be possible.
    again = _whole(_healed(plan))
    better = again.after.excess < plan.after.excess
    return Healing(cell, again.pins, fewest) if better else plan


def _healed(plan: Healing) -> Cell:
    """Return the cell as it is once a plan has been carried out."""
    parts = [
        replace(part, pins=pins)
        for part, pins in zip(plan.cell.parts, plan.pins, strict=True)
    ]
    return replace(plan.cell, parts=parts)


def _repack(table: Table, start: int) -> None:
    """Pack the table again where that is better than what it holds."""
    cost, kept = table.cost(), table.since(start)
    table.back(start)
    if repack.repack(table):
        polish.polish(table)
        if table.cost() < cost:
            return
    table.back(start)
    table.apply(kept)


def _within(
    plans: Sequence[Healing], budget: int, worth: float
) -> list[Healing]:
    """Take the cheapest steps of all cells as long as the budget lasts.

    What an exchange of pieces wins back is spent again.
    """
    tables = [Table(plan.cell) for plan in plans]
    spent = -1
    while spent != (spent := sum(table.moved for table in tables)):
        _spend(tables, budget, worth)
        for table in tables:
            left = budget - sum(each.moved for each in tables)
            polish.polish(table, table.moved + left)
    return _seated(plans, tables, budget)


def _spend(tables: Sequence[Table], budget: int, worth: float) -> None:
    """Take steps, the cheapest first, until none is within the budget."""
    left = budget - sum(table.moved for table in tables)
    steps = [gather.cheapest(table, left) for table in tables]
    while True:
        for number, step in enumerate(steps):
            if step and step.moved > left:
                steps[number] = gather.cheapest(tables[number], left)
        ready = [
            (step.price, number, step)
            for number, step in enumerate(steps)
            if step and step.price * worth <= 1
        ]
        if not ready:
            return
        _price, number, step = min(ready, key=lambda each: each[:2])
        tables[number].apply(step.moves)
        left -= step.moved
        steps[number] = gather.cheapest(tables[number], left)


def _seated(
    plans: Sequence[Healing], tables: Sequence[Table], budget: int
) -> list[Healing]:
    """Return plans with these tables that keep the budget.

    Seats can move more vCPUs than the table: first those that only part two
    guests on a core are left out, then whole cells are.
    """
    done = [
        Healing(
            plan.cell,
            seats.seat(plan.cell, table, part=False),
            plan.least,
        )
        if table.mark()
        else _nothing(plan)
        for plan, table in zip(plans, tables, strict=True)
    ]
    for number, (plan, table) in enumerate(zip(plans, tables, strict=True)):
        parted = Healing(plan.cell, seats.seat(plan.cell, table), plan.least)
        others = sum(each.moved for each in done) - done[number].moved
        if others + parted.moved <= budget:
            done[number] = parted
    for number, plan in enumerate(plans):
        if sum(each.moved for each in done) > budget:
            done[number] = _nothing(plan)
    return done
