"""One guest on one host: which host cell could hold which guest cell, and at
what cost.
"""

from collections.abc import Iterator, Sequence
import logging
from typing import Any, NamedTuple

import nova.conf

from kvm_tuning.adapters.nova.fit import guest_cell, host_cells
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.fit.guest_cell import Guest, Verdict
from kvm_tuning.adapters.nova.fit.host_cells import EmptyHost, NovaCells, read
from kvm_tuning.core.solver import costs, pinning, ranking, seating
from kvm_tuning.core.solver.fit import Fit, Fitter

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF


_FREE = (0,) * len(costs.WORDS)

# Dedicated vCPUs request memory of their own pages: that one cell has a bit
# more of it left than another is not a reason, that it has a fraction more is.
_MEMORY_PARTS = 16

Rank = tuple[int, int, int, int]


class Choice(NamedTuple):
    """The host cell, by position, of a guest cell."""

    column: int
    #: None: without pCPUs of its own, or packed by Nova.
    fit: Fit | None
    #: Nova's verdict on it.
    verdict: Verdict


class CellOptions:
    """The host cells that equal guest cells could have, cheapest first.

    Nova is asked about a host cell only when it is to be used.
    """

    def __init__(
        self,
        pairing: 'Pairing',
        index: int,
        fits: Sequence[Fit | None],
        ranks: Sequence[Rank],
    ) -> None:
        self.pairing = pairing
        self.guest_cell = pairing.guest_cells[index]
        self.reserved = int(pairing.isolated and index == 0)
        self.fits = fits
        self.by_nova = (
            guest_cell.left_to_nova(pairing.cells, self.guest_cell)
            or self.guest_cell.only_shared
        )
        wants_pins = bool(self.guest_cell.pcpuset) and not self.by_nova
        self.costs: list[int | None] = [
            _price(fit.cost if fit else _FREE, rank)
            if fit is not None or not wants_pins
            else None
            for fit, rank in zip(fits, ranks, strict=True)
        ]
        self._verdicts: dict[int, Verdict] = {}

    def verdict(self, column: int) -> Verdict:
        """Return Nova's verdict on a host cell."""
        found = self._verdicts.get(column)
        if found is None:
            pairing = self.pairing
            found = self._verdicts[column] = guest_cell.ask(
                pairing.cells[column],
                self.guest_cell,
                pairing.limits,
                self.reserved,
                self.by_nova,
            )
        return found

    def trust(self) -> None:
        """Take every host cell that has the pCPUs, without asking Nova."""
        yes = Verdict(True, self.guest_cell.pagesize)
        self._verdicts = dict.fromkeys(range(len(self.costs)), yes)

    def allowed(self) -> list[int | None]:
        """Return the costs with None where Nova refuses."""
        return [
            None if cost is None or not self.verdict(column).allowed else cost
            for column, cost in enumerate(self.costs)
        ]

    def cheapest(self) -> Iterator[int]:
        """Yield the host cells that will do, cheapest first."""
        ranked = [(c, i) for i, c in enumerate(self.costs) if c is not None]
        for _cost, column in sorted(ranked):
            if self.verdict(column).allowed:
                yield column


class Pairing:
    """The guest's cells and the host's. The guest is not changed before
    :meth:`give`.
    """

    def __init__(
        self,
        nova_cells: NovaCells,
        guest: Guest,
        limits: Any,
        fit_context: FitContext,
        pci_requests: Any = None,
        pci_stats: Any = None,
    ) -> None:
        self.cells = nova_cells.cells
        self.guest = guest.topology
        self.limits = limits
        self.pci_requests, self.pci_stats = pci_requests, pci_stats
        self.guest_cells = guest.cells
        pack = CONF.compute.packing_host_numa_cells_allocation_strategy
        self.pack = pack
        self.host: EmptyHost = host_cells.host(
            nova_cells, fit_context.domains, pack
        )
        self.isolated = guest.isolated
        wants = guest.wants(fit_context.locality)
        self.fitter = Fitter(
            wants, self.host.site, self.host.grid, self.host.stock(nova_cells)
        )

    @property
    def blind(self) -> bool:
        """Return whether L3 domains are promised that nobody knows."""
        return (
            self.fitter.wants.strict
            and not self.host.grid.l3
            and any(one.pcpuset for one in self.guest_cells)
        )

    def quick(self) -> list[Choice] | None:
        """Return the choice for a guest with one cell, where the solver alone
        can decide; nothing where it has no place. None: only the full search
        can tell.
        """
        if len(self.guest_cells) > 1 or self.pci_stats or self.limits_network:
            return None
        one = self.guest_cells[0]
        if not one.pcpuset or guest_cell.left_to_nova(self.cells, one):
            return None
        cell = self.fitter.wants.cells[0]
        fits = self.fitter.single(cell)
        if fits is None:
            best, second = self.fitter.best(cell)
            if best is None:
                return []
            fits = [best]
            if second is not None and second.cost == best.cost:
                # There may be even more of them.
                return None
        columns = [self.host.columns[fit.row.index] for fit in fits]
        places = range(len(fits))
        if len(fits) > 1:
            # Among equals Nova goes by memory.
            ranks = self._memory([self.cells[column] for column in columns])
            place = min(places, key=lambda i: (ranks[i], columns[i]))
        else:
            place = 0
        column = columns[place]
        verdict = guest_cell.ask(
            self.cells[column], one, self.limits, int(self.isolated)
        )
        return (
            [Choice(column, fits[place], verdict)] if verdict.allowed else None
        )

    @property
    def limits_network(self) -> Any:
        """The networks whose affinity counts; None for none."""
        if self.limits and 'network_metadata' in self.limits:
            return self.limits.network_metadata
        return None

    def options(self) -> list[CellOptions]:
        """Return the options of each guest cell; equal cells share one."""
        fitter = self.fitter
        own_limits = (
            fitter.wants.strict
            and len(self.guest_cells) > 1
            and seating.best_rows_are_short(fitter)
        )
        ranks = self._ranks()
        known: dict[object, CellOptions] = {}
        all_options = []
        for index, one in enumerate(self.guest_cells):
            key = one.likeness, self.isolated and index == 0
            if key not in known:
                fits = self._fits(index, own_limits)
                known[key] = CellOptions(self, index, fits, ranks)
            all_options.append(known[key])
        return all_options

    def _fits(self, index: int, own_limits: bool) -> list[Fit | None]:
        one = self.guest_cells[index]
        if not one.pcpuset or guest_cell.left_to_nova(self.cells, one):
            return [None] * len(self.cells)
        fits = self.fitter.fits(self.fitter.wants.cells[index], own_limits)
        rows = self.host.rows
        return [
            fits[rows[cell.id]] if cell.id in rows else None
            for cell in self.cells
        ]

    def best(self, all_options: list[CellOptions]) -> Sequence[int] | None:
        """Return the cheapest seating when no judge has a say."""
        first = all_options[0]
        if any(options is not first for options in all_options):
            return next(self.seatings(all_options), None)
        room = sum(cost is not None for cost in first.costs)
        if room < len(all_options):
            return None
        chosen: list[int] = []
        for column in first.cheapest():
            chosen.append(column)
            if len(chosen) == len(all_options):
                # Where a guest needs every host cell, Nova has no order.
                every = len(chosen) == len(self.cells)
                return sorted(chosen) if every else chosen
        return None

    def seatings(
        self, all_options: list[CellOptions]
    ) -> Iterator[Sequence[int]]:
        """Yield host cells, by position, for the guest cells; cheapest
        first.
        """
        if len(all_options) == 1:
            for column in all_options[0].cheapest():
                yield (column,)
            return
        columns = len(self.cells)
        order = [0] * columns
        for place, column in enumerate(
            sorted(
                range(columns), key=lambda c: (all_options[0].costs[c] or 0, c)
            )
            if columns > len(all_options)
            else range(columns)
        ):
            order[column] = place
        # Among equals the first guest cell has the best host cell.
        yield from ranking.assignments(
            [
                [
                    None
                    if cost is None
                    else cost * columns**3 + (columns - row) * order[column]
                    for column, cost in enumerate(options.allowed())
                ]
                for row, options in enumerate(all_options)
            ]
        )

    def choices(
        self, all_options: Sequence[CellOptions], columns: Sequence[int]
    ) -> list[Choice]:
        """Return the choices of the guest cells in host cells, by position."""
        return [
            Choice(column, options.fits[column], options.verdict(column))
            for options, column in zip(all_options, columns, strict=True)
        ]

    def give(self, choices: Sequence[Choice]) -> list[Any]:
        """Write a seating into the guest's cells, as Nova does."""
        cells = list(self.guest.cells)
        pins = [self._pins(choice.fit) for choice in choices]
        for cell, one, choice, found in zip(
            cells, self.guest_cells, choices, pins, strict=True
        ):
            column, _, verdict = choice
            cell.id = read(self.cells[column], 'id')
            if verdict.pagesize not in (None, one.pagesize):
                cell.pagesize = verdict.pagesize
            if verdict.pinning is not None:
                # Like guest cells share an answer, and each has vCPU numbers
                # of its own.
                cell.cpu_pinning = dict(
                    zip(
                        sorted(one.pcpuset),
                        (pcpu for _, pcpu in sorted(verdict.pinning.items())),
                        strict=True,
                    )
                )
                cell.cpuset_reserved = verdict.reserved
            elif found is not None:
                pinning = dict(
                    zip(sorted(one.pcpuset), found.pcpus, strict=True)
                )
                if LOG.isEnabledFor(logging.INFO):
                    # In the words of Nova's own packing, for whoever reads the
                    # log.
                    LOG.info(
                        'Computed NUMA topology CPU pinning: usable pCPUs: '
                        '%s, vCPUs mapping: %s',
                        [[pcpu] for pcpu in found.pcpus],
                        list(pinning.items()),
                    )
                cell.cpu_pinning = pinning
                cell.cpuset_reserved = (
                    None if found.emulator is None else {found.emulator}
                )
        return cells

    def _pins(self, fit: Fit | None) -> pinning.Pins | None:
        if fit is None:
            return None
        return pinning.pin(
            self.fitter.stock, fit.packing, fit.ask, fit.kinds.mask, fit.row
        )

    def _ranks(self) -> list[Rank]:
        """Return how Nova would order the host cells, lower first: by devices
        where some are wanted, by devices where none are, by use, by memory.
        How full of dedicated vCPUs they are is in the solver's cost.

        As in Nova, cells with devices come first for a guest that wants one
        and last for others, and a guest that needs every cell has no order.
        """
        cells = self.cells
        if len(cells) == len(self.guest_cells):
            return [(0, 0, 0, 0)] * len(cells)
        none = [0] * len(cells)
        devices = self._devices() if self.pci_stats else none
        sign = 1 if self.pack else -1
        used = none
        if self.guest_cells[0].cpu_policy in (None, 'shared'):
            used = _raised([-sign * cell.cpu_usage for cell in cells])
        return list(
            zip(
                _raised([-d for d in devices]) if self.pci_requests else none,
                none if self.pci_requests else _raised(devices),
                used,
                self._memory(cells),
                strict=True,
            )
        )

    def _memory(self, cells: Sequence[Any]) -> list[int]:
        """Return the ranks of host cells by their free memory."""
        free = [cell.avail_memory for cell in cells]
        if self.guest_cells[0].cpu_policy not in (None, 'shared'):
            part = max(1, max(c.memory for c in self.cells) // _MEMORY_PARTS)
            free = [each // part for each in free]
        return _raised(free if self.pack else [-each for each in free])

    def _devices(self) -> list[int]:
        counts: dict[int, int] = {}
        for pool in self.pci_stats.pools:
            node = pool['numa_node']
            counts[node] = counts.get(node, 0) + pool['count']
        return [counts.get(cell.id, 0) for cell in self.cells]


def _price(cost: tuple[int, ...], rank: Rank) -> int:
    """Return the solver's cost of a pair, combined with Nova's order of host
    cells, as a number that adds and compares as the cost does.
    """
    wanted, unwanted, used, memory = rank
    entries = [*cost[: costs.AWAY], wanted, *cost[costs.AWAY + 1 :]]
    entries.insert(costs.DOMAINS, unwanted)
    return costs.number([*entries, used, memory])


def _raised(values: list[int]) -> list[int]:
    """Return the ranks of values, equal values at one rank."""
    distinct = set(values)
    if len(distinct) == 1:
        return [0] * len(values)
    order = {value: i for i, value in enumerate(sorted(distinct))}
    return [order[value] for value in values]
