"""A plan for a host as a document, and in words."""

from collections.abc import Mapping
from typing import Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.healing.host import HostPlan
from kvm_tuning.core.inventory import Inventory


def document(plan: HostPlan, inventory: Inventory) -> dict[str, Any]:
    """Return a plan as a document."""
    names = {each.uuid: each.name for each in plan.occupants}
    before = [cell.before for cell in plan.cells]
    after = [cell.after for cell in plan.cells]
    return {
        'guests': _guests(plan, inventory),
        'excess': {
            'before': sum(each.excess for each in before),
            'after': sum(each.excess for each in after),
            'least': plan.least,
        },
        'shared_cores': {
            'before': sum(each.shared_cores for each in before),
            'after': sum(each.shared_cores for each in after),
        },
        'moved': plan.moved,
        'vcpus': sum(len(each.pins) for each in plan.occupants),
        'calls': len(plan.order),
        'doublings': plan.doublings,
        'moves': [
            {
                'guest': names[move.thread[0]],
                'vcpu': move.thread[1],
                'from': move.source,
                'to': move.target,
                'doubles': move.doubles,
            }
            for move in plan.order
        ],
    }


def _guests(plan: HostPlan, inventory: Inventory) -> list[dict[str, Any]]:
    now = {o.uuid: o.pins for o in plan.occupants}
    then = {
        o.uuid: {**o.pins, **plan.pins.get(o.uuid, {})} for o in plan.occupants
    }
    found = []
    for occupant in sorted(plan.occupants, key=lambda each: each.name):
        old, new = now[occupant.uuid], then[occupant.uuid]
        found.append(
            {
                'guest': occupant.name,
                'uuid': occupant.uuid,
                'vcpus': len(old),
                'l3_domains': {
                    'before': _domains(old, inventory),
                    'after': _domains(new, inventory),
                },
                'shared_cores': {
                    'before': _shared(occupant.uuid, now, inventory),
                    'after': _shared(occupant.uuid, then, inventory),
                },
                'moved': sum(new[vcpu] != cpu for vcpu, cpu in old.items()),
                'pcpus': {
                    'before': cpuset.format(old.values()),
                    'after': cpuset.format(new.values()),
                },
                'stays': occupant.why,
            }
        )
    return found


def _domains(pins: Mapping[int, int], inventory: Inventory) -> int:
    return len(
        {
            inventory.cpu[cpu].l3
            for cpu in pins.values()
            if cpu in inventory.cpu
        }
    )


def _shared(
    uuid: str,
    pins: Mapping[str, Mapping[int, int]],
    inventory: Inventory,
) -> int:
    """Return on how many of its cores a guest has a neighbour."""
    others = {
        cpu
        for other, held in pins.items()
        if other != uuid
        for cpu in held.values()
    }
    cores = {
        inventory.cpu[cpu].core
        for cpu in pins[uuid].values()
        if cpu in inventory.cpu
    }
    return sum(bool(core & others) for core in cores)


def lines(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a plan's document amounts to, in words."""
    excess, shared = found['excess'], found['shared_cores']
    if not found['moved']:
        return (
            f'Nothing is worth moving: {_state(excess, shared, "before")}.',
        )
    least = excess['least']
    if least is None:
        bound = 'the least is not proven'
    elif excess['after'] > least:
        bound = f'{least} is proven to be the least'
    else:
        bound = 'which is proven to be the least'
    return (
        f'Now: {_state(excess, shared, "before")}.',
        f'Then: {_state(excess, shared, "after")} ({bound}).',
        f'{found["moved"]} of {found["vcpus"]} dedicated vCPUs move, in '
        f'{found["calls"]} steps; {found["doublings"]} of them have two vCPUs '
        f'on one pCPU until the next step.',
    )


def _state(
    excess: Mapping[str, Any], shared: Mapping[str, Any], when: str
) -> str:
    return (
        f'{excess[when]} L3 domains more than the fewest, '
        f'{shared[when]} cores shared by two guests'
    )
