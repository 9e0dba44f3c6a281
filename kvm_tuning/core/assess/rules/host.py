"""What all guests of a host lose by how the host is set."""

from collections.abc import Iterator
from dataclasses import dataclass

from kvm_tuning.core.assess.finding import Finding, found
from kvm_tuning.core.inventory import Inventory


@dataclass(frozen=True, slots=True)
class State:
    """How a host is set; None: the kernel does not have it."""

    #: Why it is not ready for guests, as the ready gate says.
    reasons: tuple[str, ...]
    #: ``always``, ``madvise`` or ``never``.
    transparent_huge_pages: str | None
    #: Whether KSM merges, and between cells.
    merging: bool | None
    across_cells: bool | None


def gate(state: State, inventory: Inventory) -> Iterator[Finding]:
    """Yield what the host does not have of its configuration."""
    for reason in state.reasons:
        yield found('host-not-ready', reason)


def merging(state: State, inventory: Inventory) -> Iterator[Finding]:
    """Yield that KSM merges pages of different cells."""
    if state.merging and state.across_cells and len(inventory.cells) > 1:
        yield found(
            'host-merges-across-cells',
            f'KSM runs, and merges pages of {len(inventory.cells)} NUMA cells',
        )


def huge_pages(state: State, inventory: Inventory) -> Iterator[Finding]:
    """Yield that guests get huge pages neither from a pool nor by
    themselves.
    """
    pools = sum(p.total for cell in inventory.cells for p in cell.pages)
    if state.transparent_huge_pages == 'never' and not pools:
        yield found(
            'host-no-huge-pages',
            'transparent huge pages are off, and there are 0 pages in pools',
        )
