"""One guest cell on one host cell: whether it fits, and at which cost."""

from itertools import combinations
from typing import NamedTuple

from kvm_tuning.core import packing, pages, sharing, stock
from kvm_tuning.core.demands import CellDemand, Locality, Pool
from kvm_tuning.core.grid import Grid, Row
from kvm_tuning.core.packing import Ask, Packing
from kvm_tuning.core.pages import Pages
from kvm_tuning.core.sharing import Float
from kvm_tuning.core.site import Site
from kvm_tuning.core.wants import Wants

# Hosts have one kind of core, hybrid ones two or three. Of more only each
# one alone, and all of them, are tried.
MOST_KINDS = 4


class Kinds(NamedTuple):
    """Kinds of core that a guest cell may use."""

    #: The cores, as bits.
    mask: int
    #: How many kinds beyond one, and which (bit 0: the fastest).
    mixed: int
    ranks: int


class Fit(NamedTuple):
    """How a guest cell would sit on a host cell."""

    #: See :data:`kvm_tuning.core.placement.COST`; what depends on other
    #: guest cells is 0 here.
    cost: tuple[int, ...]
    row: Row
    kinds: Kinds
    packing: Packing
    #: The fewest L3 domains that could do on this hardware.
    fewest: int
    pages: Pages
    #: Where its shared vCPUs float.
    floats: Float | None


class Fitter:
    """Answers for one guest on one site."""

    def __init__(self, wants: Wants, site: Site, grid: Grid) -> None:
        self.wants = wants
        self.site = site
        self.grid = grid
        self.stock = stock.of(site, grid)
        self.kinds = _kinds(grid)
        self._most = max([row.size for row in grid.rows], default=0)
        self._strict = wants.strict
        self._l3 = wants.l3
        # In a host cell without any shared pCPU these pools are empty.
        self._numa_promise = wants.pool(Pool.NUMA, True)
        self._numa_wish = wants.pool(Pool.NUMA, False)

    def ask(self, cell: CellDemand) -> Ask:
        """Return what a guest cell asks of a packing."""
        wants = self.wants
        return Ask(
            len(cell.dedicated),
            wants.threads,
            wants.emulator and cell is wants.cells[0],
            wants.pool(Pool.L3, True),
            wants.pool(Pool.L3, False),
        )

    def fewest(self, ask: Ask) -> list[int | None]:
        """Return for each row the fewest domains that this hardware allows.

        None: the row could not hold it with nobody else there.
        """
        key = 'fewest', ask.vcpus, ask.policy, ask.emulator
        derived = self.grid.derived
        found = derived.get(key)
        if found is None:
            hardware = stock.empty(self.grid)
            found = derived[key] = [
                packing.fewest_with_emulator(profiles, ask)
                if hardware.room(row, ask.policy) >= ask.vcpus + ask.emulator
                else None
                for row, profiles in enumerate(
                    hardware.profiles(ask.policy, self.kinds[-1].mask)
                )
            ]
        return found  # type: ignore[return-value]

    def fits(
        self, cell: CellDemand, own_limits: bool = False
    ) -> list[Fit | None]:
        """Return how a guest cell fits on each row of the grid.

        :param own_limits: measure each row by its own fewest domains, as is
            right when the guest's cells cannot all have the best rows.
        """
        ask = self.ask(cell)
        limits = self.fewest(ask)
        best = min([n for n in limits if n is not None], default=0)
        return [
            None
            if limit is None
            else self._fit(cell, ask, row, limit if own_limits else best)
            for row, limit in enumerate(limits)
        ]

    def _fit(
        self, cell: CellDemand, ask: Ask, index: int, fewest: int
    ) -> Fit | None:
        """Return the cheapest fit on one row."""
        row = self.grid.rows[index]
        if self.stock.room(index, ask.policy) < ask.vcpus + ask.emulator:
            return None
        found = self.pages(cell, row)
        if found is None:
            return None
        floats = None
        if len(cell.vcpus) > ask.vcpus:
            floats = self._float(cell, row)
            if floats is None:
                return None
        best = None
        for kinds in self.kinds:
            packed = packing.pack(
                self.stock.profiles(ask.policy, kinds.mask)[index], ask
            )
            if packed is None or (
                self._strict and ask.vcpus and packed.spans > fewest
            ):
                continue
            fit = self._priced(
                row, index, kinds, packed, fewest, found, floats
            )
            if best is None or fit.cost < best.cost:
                best = fit
        return best

    def _priced(
        self,
        row: Row,
        index: int,
        kinds: Kinds,
        packed: Packing,
        fewest: int,
        found: Pages,
        floats: Float | None,
    ) -> Fit:
        cost = packed.cost
        over = max(0, packed.spans - fewest)
        dedicated = packed.spans > 0
        apart = not row.shared
        free = self.stock.row_free[index]
        return Fit(
            (
                cost.promise + (self._numa_promise and apart),
                over if self._l3 else 0,
                0,
                kinds.mixed if dedicated else 0,
                over,
                0,
                kinds.ranks if dedicated else 0,
                found.rank,
                cost.emulator,
                cost.wish + (self._numa_wish and apart),
                cost.partial,
                cost.cores,
                floats.load if floats else 0,
                (free if self.site.policy.pack_cells else self._most - free)
                if dedicated
                else 0,
                cost.stranded,
                cost.free,
            ),
            row,
            kinds,
            packed,
            fewest,
            found,
            floats,
        )

    def pages(self, cell: CellDemand, row: Row) -> Pages | None:
        """Return the pages that a guest cell would get on a row."""
        sizes = self.wants.sizes_kib.get(cell.cell)
        if sizes is None and not self.wants.memory_is_bound:
            return pages.SMALL
        return pages.choose(
            self.site,
            self.site.inventory.cell[row.cell],
            cell.memory_kib,
            sizes,
            overcommit=not cell.dedicated and self.wants.memory is None,
        )

    def _float(self, cell: CellDemand, row: Row) -> Float | None:
        """Return where the shared vCPUs of a guest cell float on a row.

        As Nova has it, a guest cell never has more of them than its host
        cell has shared pCPUs.
        """
        vcpus = len(cell.vcpus) - len(cell.dedicated)
        shared = row.shared - self.site.ledger.pcpus
        if vcpus > len(row.shared) or not shared:
            return None
        sets = [shared]
        locality = self.wants.locality
        if (
            locality is not None
            and locality.level is Locality.L3
            and not cell.dedicated
        ):
            sets = [shared & domain.shared for domain in row.domains]
        return sharing.least_loaded(self.site.ledger, sets, vcpus)


def _kinds(grid: Grid) -> list[Kinds]:
    """Return the kinds of core that may be used together, few first."""
    found = grid.derived.get('kinds')
    if found is None:
        count = len(grid.kinds)
        sizes = range(1, count + 1) if count <= MOST_KINDS else (1, count)
        found = grid.derived['kinds'] = [
            Kinds(
                sum(grid.kinds[kind] for kind in kinds),
                len(kinds) - 1,
                sum(1 << kind for kind in kinds),
            )
            for size in sizes
            for kinds in combinations(range(count), size)
        ] or [Kinds(0, 0, 0)]
    return found  # type: ignore[return-value]
