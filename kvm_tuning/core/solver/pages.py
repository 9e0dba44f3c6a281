"""The memory of a host cell that is left: huge pages and small ones."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from kvm_tuning.core.inventory import Cell, PagePool
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.site import Site

_Key = TypeVar('_Key')


class Pages(NamedTuple):
    """The pages of one guest cell on one host cell."""

    #: How many sizes would have been better, as the demand ranks them.
    rank: int
    #: None: small pages, not counted.
    size_kib: int | None
    number: int


SMALL = Pages(0, None, 0)


class Sums:
    """The totals of a ledger's claims."""

    def __init__(self, ledger: Ledger) -> None:
        self._claims = ledger.claims
        self._promised: dict[tuple[int, int], int] | None = None
        self._memory: dict[int, int] | None = None
        #: Huge pages by (cell, size in KiB) that are still in the pool, for
        #: guests that do not run.
        self.pending: dict[tuple[int, int], int] = {}
        for claim in ledger.claims:
            if claim.pages and not claim.pages_in_use:
                _add(self.pending, claim.pages)

    @property
    def promised(self) -> dict[tuple[int, int], int]:
        """Huge pages of all guests by (cell, size in KiB)."""
        found = self._promised
        if found is None:
            found = self._promised = {}
            for claim in self._claims:
                _add(found, claim.pages)
        return found

    @property
    def memory(self) -> dict[int, int]:
        """Memory in small pages by cell, in KiB."""
        found = self._memory
        if found is None:
            found = self._memory = {}
            for claim in self._claims:
                _add(found, claim.memory_kib)
        return found


def _add(sums: dict[_Key, int], more: Mapping[_Key, int]) -> None:
    for key, number in more.items():
        sums[key] = sums.get(key, 0) + number


def sums(ledger: Ledger) -> Sums:
    """Return the totals of a ledger; they are computed once."""
    return ledger.memo.once('pages', lambda: Sums(ledger))


def free_pages(site: Site, cell: int, pool: PagePool) -> int:
    """Return how many pages of a pool nobody holds.

    The pool's own count reflects who runs, the ledger who is defined; what the
    operator reserves may be in use already, and then must not be subtracted
    twice.
    """
    of_all = sums(site.ledger)
    key = cell, pool.size_kib
    free = pool.free - of_all.pending.get(key, 0)
    reserved = site.policy.reserved_pages.get(key, 0)
    if reserved:
        left = pool.total - reserved - of_all.promised.get(key, 0)
        return min(free, left)
    return free


def small_total_kib(site: Site, cell: Cell) -> int:
    """Return the memory of a cell outside its huge pages."""
    huge = sum(pool.size_kib * pool.total for pool in cell.pages)
    return cell.memory_bytes // 1024 - huge


def small_free_kib(site: Site, cell: Cell) -> int:
    """Return the memory of a cell in small pages that nobody holds."""
    return (
        small_total_kib(site, cell)
        - site.policy.reserved_memory_kib
        - sums(site.ledger).memory.get(cell.id, 0)
    )


def choose(
    site: Site,
    cell: Cell,
    memory_kib: int,
    sizes_kib: Iterable[int] | None,
    overcommit: bool = False,
) -> Pages | None:
    """Return the best pages that a host cell has for a guest cell's memory.

    As in Nova, the pages must divide the memory exactly, and shared vCPUs may
    overcommit small pages, though not the cell's own total.

    :param sizes_kib: acceptable sizes, the best first; None: not requested.
    """
    base = site.inventory.page_size_kib
    if sizes_kib is None:
        left = (
            small_total_kib(site, cell)
            if overcommit
            else small_free_kib(site, cell)
        )
        return SMALL if memory_kib <= left else None
    for rank, size in enumerate(sizes_kib):
        if size <= base:
            # Nova calls the smallest page size of x86 small, whatever the
            # host's is.
            if memory_kib % base == 0 and memory_kib <= small_free_kib(
                site, cell
            ):
                return Pages(rank, None, 0)
            continue
        if memory_kib % size:
            continue
        for pool in cell.pages:
            if pool.size_kib == size:
                count = memory_kib // size
                if count <= free_pages(site, cell.id, pool):
                    return Pages(rank, size, count)
    return None
