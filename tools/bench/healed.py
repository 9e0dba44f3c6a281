"""Heals the hosts of a replay of placements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nova.virt import hardware

from kvm_tuning.core.healing.cell import Cell, Part
from kvm_tuning.core.healing.heal import heal

#: VMs on a host: the topology that Nova has given to each.
Guests = Mapping[int, Any]


def cells(
    host: Any, guests: Guests, domains: Iterable[frozenset[int]]
) -> list[Cell]:
    """Return the NUMA cells of a host as healing sees them."""
    domains = [*domains]
    return [
        Cell(
            [
                sorted(
                    tuple(sorted(core))
                    for core in cell.siblings
                    if set(core) <= domain
                )
                for domain in domains
                if domain & cell.pcpuset
            ],
            [
                Part(
                    f'{number} {part.id}',
                    _pins(part),
                    isolated=part.cpu_thread_policy == 'isolate',
                )
                for number, made in guests.items()
                for part in _on(made, cell)
            ],
            max(map(len, cell.siblings)),
        )
        for cell in host.cells
    ]


def _on(made: Any, cell: Any) -> list[Any]:
    return [
        part
        for part in made.cells
        if set(_pins(part).values()) <= cell.pcpuset
    ]


def _pins(part: Any) -> dict[int, int]:
    return dict(part.cpu_pinning)


def healed(
    host: Any, guests: Guests, domains: Sequence[frozenset[int]]
) -> Any:
    """Heal a host: give its VMs their new pins, and return its usage."""
    plans = heal(cells(host, guests, domains))
    pins = {
        part.guest: new
        for plan in plans
        for part, new in zip(plan.cell.parts, plan.pins, strict=True)
    }
    for made in guests.values():
        host = hardware.numa_usage_from_instance_numa(host, made, free=True)
    for number, made in guests.items():
        for part in made.cells:
            part.cpu_pinning = dict(pins[f'{number} {part.id}'])
        host = hardware.numa_usage_from_instance_numa(host, made)
    return host
