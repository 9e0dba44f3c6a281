"""One guest cell on one host cell: whether it fits, and at what cost."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from kvm_tuning.core.demands import CellDemand, Locality, Pool, ThreadPolicy
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import costs, packing, pages, sharing, stock
from kvm_tuning.core.solver.grid import Grid, Row
from kvm_tuning.core.solver.packing import Ask, Even, Packing
from kvm_tuning.core.solver.pages import Pages
from kvm_tuning.core.solver.sharing import Float
from kvm_tuning.core.solver.wants import Wants

# Hosts have one kind of core, hybrid ones two or three. With more kinds, only
# each one alone and all of them together are tried.
MOST_KINDS = 4


class Kinds(NamedTuple):
    """Kinds of core that a guest cell may use."""

    #: The cores, as bits.
    mask: int
    #: How many kinds beyond one, and which (bit 0: the fastest).
    mixed: int
    ranks: int


class Fit(NamedTuple):
    """How a guest cell would fit on a host cell."""

    #: See :mod:`~kvm_tuning.core.solver.costs`; what depends on other guest
    #: cells is 0 here.
    cost: tuple[int, ...]
    row: Row
    kinds: Kinds
    packing: Packing
    #: The fewest L3 domains that could be enough on this hardware.
    fewest: int
    pages: Pages
    #: Where its shared vCPUs float.
    floats: Float | None
    ask: Ask


class Fitter:
    """Answers for one guest on one site."""

    def __init__(
        self,
        wants: Wants,
        site: Site,
        grid: Grid,
        left: stock.Stock | None = None,
    ) -> None:
        """Take what is free from ``left``, or otherwise from the site's
        ledger.
        """
        self.wants = wants
        self.site = site
        self.grid = grid
        self.stock = stock.of(site, grid) if left is None else left
        self.kinds = _kinds(grid)
        self._strict = wants.strict
        self._even = Even.NO
        if wants.even is not None:
            self._even = Even.PROMISED if wants.even.strict else Even.WISHED
        self._l3 = wants.l3
        self._spread = not site.policy.pack_cells
        self._l3_promise = self._l3_wish = False
        self._numa_promise = self._numa_wish = False
        if wants.pools:
            self._l3_promise = wants.pool(Pool.L3, True)
            self._l3_wish = wants.pool(Pool.L3, False)
            # Pools that are empty in a host cell without any shared pCPU.
            # Where an L3 domain has one, its cell has one.
            self._numa_promise = not self._l3_promise and wants.pool(
                Pool.NUMA, True
            )
            self._numa_wish = not self._l3_wish and wants.pool(
                Pool.NUMA, False
            )
        # See costs.DOMAINS.
        self._crowds = grid.narrow and not self._spread and not self._l3
        self._weight = max(1, grid.widest // 2)

    def ask(self, cell: CellDemand) -> Ask:
        """Return what a guest cell demands of a packing."""
        wants = self.wants
        return Ask(
            len(cell.dedicated),
            wants.threads,
            wants.emulator and cell is wants.cells[0],
            self._l3_promise,
            self._l3_wish,
            self._even,
        )

    def fewest(self, ask: Ask) -> list[int | None]:
        """Return for each row the fewest domains that this hardware allows.

        None: the row could not hold it even with nobody else there.
        """
        return self._fewest(ask)[0]

    def _fewest(self, ask: Ask) -> tuple[list[int | None], int]:
        """As :meth:`fewest`, and the fewest of all."""
        return self.grid.memo.once(ask, lambda: self._count_fewest(ask))

    def _count_fewest(self, ask: Ask) -> tuple[list[int | None], int]:
        hardware = stock.empty(self.grid)
        every = self.kinds[-1].mask
        rows = [
            packing.fewest_empty(hardware, row, ask, every)
            if hardware.room(row, ask.policy) >= ask.vcpus + ask.emulator
            else None
            for row in self.grid.rows
        ]
        return rows, min([n for n in rows if n is not None], default=0)

    def fits(
        self, cell: CellDemand, own_limits: bool = False
    ) -> list[Fit | None]:
        """Return how a guest cell fits on each row of the grid.

        :param own_limits: measure each row by its own fewest domains, as is
            right when the guest's cells cannot all have the best rows.
        """
        ask = self.ask(cell)
        limits, best = self._fewest(ask)
        return [
            None
            if limit is None
            else self._fit(cell, ask, row, limit if own_limits else best)
            for row, limit in zip(self.grid.rows, limits, strict=True)
        ]

    def best(self, cell: CellDemand) -> tuple[Fit | None, Fit | None]:
        """Return the cheapest fit on any row, and one that lost to it."""
        ask = self.ask(cell)
        limits, least = self._fewest(ask)
        best = second = None
        rows: Sequence[Row] = self.grid.rows
        crowds = self._crowds
        if crowds:
            free = self.stock.row_free
            order = sorted(range(len(free)), key=free.__getitem__)
            rows = [rows[index] for index in order]
        for row in rows:
            if limits[row.index] is None:
                continue
            if best is not None and crowds and self._is_worse(row, ask, best):
                # So are the rows that follow: they are even emptier.
                break
            fit = self._fit(cell, ask, row, least)
            if fit is None:
                continue
            if best is None or fit.cost < best.cost:
                best, second = fit, best
            elif second is None or fit.cost < second.cost:
                second = fit
        return best, second

    def single(self, cell: CellDemand) -> list[Fit] | None:
        """Return the cheapest fits of a guest's only cell, one per row, if one
        L3 domain can hold it: the shortcut for the common case.

        If several cost the same, the first one is that of :meth:`best`: a fit
        on one domain never has more than the fewest, so the fullest domain of
        all that wastes no thread is the cheapest, whichever row it is in.

        :returns: None: the case is not that simple, or there is no such
            domain.
        """
        ask = self.ask(cell)
        vcpus = ask.vcpus
        sizes = self.wants.sizes_kib.get(cell.cell)
        if (
            not vcpus
            or len(cell.vcpus) > vcpus
            or ask.policy is ThreadPolicy.ISOLATE
            or ask.emulator
            or self._crowds
            or self._spread
            or self.wants.pools
            or len(self.kinds) > 1
            or (sizes is not None and len(sizes) > 1)
        ):
            return None
        (kinds,) = self.kinds
        domains, rows = self.grid.domains, self.grid.rows
        free, row_free = self.stock.domain_free, self.stock.row_free
        slots = self.stock.slots(ask.policy, kinds.mask)
        order = sorted(
            [
                (free[index], row_free[domains[index].row], index)
                for index, room in enumerate(slots)
                if room >= vcpus
            ]
        )
        ideal = -(-vcpus // self.grid.threads)
        best: tuple[int, ...] | None = None
        found: dict[int, tuple[Packing, Pages]] = {}
        for there, left, index in order:
            # The cheapest of all that follow, unless a whole domain is.
            if there > vcpus and best and best < (1, ideal, 0, there, left):
                break
            row = rows[domains[index].row]
            got = self.pages(cell, row)
            if got is None:
                continue
            packed = packing.on_one(
                self.stock, [domains[index]], ask, kinds.mask
            )
            cost = *packed.cost[3:6], there, left
            if best is None or cost < best:
                best, found = cost, {row.index: (packed, got)}
            elif cost == best and row.index not in found:
                found[row.index] = packed, got
        least = self._fewest(ask)[1]
        return [
            Fit(
                self._cost(rows[index], kinds, packed, 0, got, None),
                rows[index],
                kinds,
                packed,
                least,
                got,
                None,
                ask,
            )
            for index, (packed, got) in sorted(found.items())
        ] or None

    def _is_worse(self, row: Row, ask: Ask, best: Fit) -> bool:
        """Return whether a row's free pCPUs alone make it worse than
        the best.
        """
        cost = best.cost
        return (
            ask.vcpus > 0
            and self.stock.row_free[row.index] > cost[costs.DOMAINS]
            and not any(cost[: costs.DOMAINS])
        )

    def _fit(
        self, cell: CellDemand, ask: Ask, row: Row, fewest: int
    ) -> Fit | None:
        """Return the cheapest fit on one row."""
        free = (
            self.stock.room(row, ask.policy)
            if ask.policy is ThreadPolicy.ISOLATE
            else self.stock.row_free[row.index]
        )
        if free < ask.vcpus + ask.emulator:
            return None
        found = self.pages(cell, row)
        if found is None:
            return None
        floats = None
        if len(cell.vcpus) > ask.vcpus:
            floats = self._float(cell, row)
            if floats is None:
                return None
        most = fewest if self._strict else None
        best = None
        for kinds in self.kinds:
            packed = packing.pack(self.stock, row, ask, kinds.mask, most)
            if packed is None:
                continue
            cost = self._cost(
                row, kinds, packed, packed.spans - fewest, found, floats
            )
            if best is None or cost < best.cost:
                best = Fit(
                    cost, row, kinds, packed, fewest, found, floats, ask
                )
        return best

    def _cost(
        self,
        row: Row,
        kinds: Kinds,
        packed: Packing,
        over: int,
        found: Pages,
        floats: Float | None,
    ) -> tuple[int, ...]:
        """Return the entries of :mod:`~kvm_tuning.core.solver.costs`."""
        promise, emulator, wish, partial, used, stranded, free = packed.cost
        if self._numa_promise or self._numa_wish:
            apart = not self.stock.shares(row.shared)
            promise += self._numa_promise and apart
            wish += self._numa_wish and apart
        load = floats.load if floats is not None else 0
        if not used:
            return (
                promise,  # PROMISES
                0,  # LOCALITY
                0,  # AWAY
                0,  # KINDS
                0,  # PACKAGES
                0,  # DOMAINS
                0,  # SLOW
                found.rank,  # PAGES
                emulator,  # EMULATOR
                wish,  # WISHES
                0,  # PARTIAL
                0,  # CORES
                load,  # LOAD
                0,  # SPREAD
                0,  # STRANDED
                0,  # FREE
                0,  # PACK
            )
        if over < 0:
            over = 0
        left = self.stock.row_free[row.index]
        return (
            promise,  # PROMISES
            over if self._l3 else 0,  # LOCALITY
            0,  # AWAY
            kinds.mixed,  # KINDS
            0,  # PACKAGES
            over * self._weight + left if self._crowds else over,  # DOMAINS
            kinds.ranks,  # SLOW
            found.rank,  # PAGES
            emulator,  # EMULATOR
            wish,  # WISHES
            partial,  # PARTIAL
            used,  # CORES
            load,  # LOAD
            self.grid.largest - left if self._spread else 0,  # SPREAD
            stranded,  # STRANDED
            free,  # FREE
            0 if self._spread else left,  # PACK
        )

    def pages(self, cell: CellDemand, row: Row) -> Pages | None:
        """Return the pages that a guest cell would get on a row."""
        sizes = self.wants.sizes_kib.get(cell.cell)
        if sizes is None and not (
            cell.memory_kib and self.wants.memory_is_bound
        ):
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

        As in Nova, a guest cell never has more of them than its host cell has
        shared pCPUs.
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
    return grid.memo.once('kinds', lambda: _combined(grid))


def _combined(grid: Grid) -> list[Kinds]:
    count = len(grid.kinds)
    sizes = range(1, count + 1) if count <= MOST_KINDS else (1, count)
    return [
        Kinds(
            sum(grid.kinds[kind] for kind in kinds),
            len(kinds) - 1,
            sum(1 << grid.ranks[kind] for kind in kinds),
        )
        for size in sizes
        for kinds in combinations(range(count), size)
    ] or [Kinds(0, 0, 0)]
