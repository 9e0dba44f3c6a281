"""Pictures of a host before and after a rebalance."""

from typing import TYPE_CHECKING

from kvm_tuning.core.picture import draw
from kvm_tuning.core.picture.model import Picture, Resident

if TYPE_CHECKING:
    from kvm_tuning.adapters.healing.planned import Planned


def pictures(planned: 'Planned') -> list[tuple[str, Picture]]:
    """Return the guests with dedicated vCPUs before and after a plan."""
    found = sorted(planned.plan.occupants, key=lambda each: each.name)
    guests = tuple(
        Resident(
            each.uuid,
            mark,
            each.name,
            {vcpu: frozenset({pcpu}) for vcpu, pcpu in each.pins.items()},
        )
        for each, mark in zip(found, draw.marks(len(found)), strict=True)
    )
    before = draw.picture(planned.inventory).with_guests(guests)
    after = before.moved(planned.plan.pins)
    plan = planned.plan
    return [
        (f'Now: {_excess(sum(c.before.excess for c in plan.cells))}', before),
        (
            f'After moving {plan.moved} of '
            f'{sum(len(each.pins) for each in found)} vCPUs: '
            f'{_excess(sum(c.after.excess for c in plan.cells))}',
            after,
        ),
    ]


def _excess(number: int) -> str:
    plural = '' if number == 1 else 's'
    return f'{number} L3 domain{plural} more than the fewest'
