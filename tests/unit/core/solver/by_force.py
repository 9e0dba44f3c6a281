"""The cheapest placement by trying every one: slow, and plain to read.

Written from kvm_tuning.core.solver.costs alone, it shares nothing with the
solver but the numbers of the entries.
"""

from itertools import combinations, permutations
from math import inf

from kvm_tuning.core.demands import (
    Affinity,
    CellDemand,
    DeviceDemand,
    EmulatorDemand,
    Locality,
    LocalityDemand,
    Pool,
    PoolDemand,
    ThreadDemand,
    ThreadPolicy,
)
from kvm_tuning.core.solver import costs

ENTRIES = len(costs.WORDS)


class Force:
    """All ways to place one guest's dedicated vCPUs on one site."""

    def __init__(self, demands, site):
        self.site = site
        self.inventory = site.inventory
        self.cells = sorted(
            (d for d in demands if isinstance(d, CellDemand)),
            key=lambda d: d.cell,
        )
        self.policy = ThreadPolicy.PREFER
        self.l3 = self.strict = self.emulator = False
        self.pools = [d for d in demands if isinstance(d, PoolDemand)]
        self.devices = [d for d in demands if isinstance(d, DeviceDemand)]
        for demand in demands:
            if isinstance(demand, ThreadDemand):
                self.policy = demand.policy
            elif isinstance(demand, LocalityDemand):
                self.l3 = demand.level is Locality.L3
                self.strict = self.l3 and demand.strict
            elif isinstance(demand, EmulatorDemand):
                self.emulator = True
        dedicated = site.policy.dedicated_cpus or frozenset()
        self.allocatable = dedicated & self.inventory.online
        shared = site.policy.shared_cpus
        if shared is None:
            shared = self.inventory.online
        self.shared = (shared & self.inventory.online) - dedicated
        self.held = site.ledger.pcpus
        self.shared -= self.held
        self.host_cells = sorted({cpu.cell for cpu in self.inventory.cpus})

    # What a pCPU is part of.

    def domain(self, cpu):
        one = self.inventory.cpu[cpu]
        return one.cell, one.l3

    def core(self, cpu):
        one = self.inventory.cpu[cpu]
        return one.cell, one.l3, one.core

    def members(self, group, key):
        return {cpu for cpu in self.inventory.online if key(cpu) == group}

    def kind(self, cpu):
        """0 for the fastest cores; a tenth slower is another kind."""
        capacities = {one.capacity for one in self.inventory.cpus}
        own = self.inventory.cpu[cpu].capacity
        if own is None:
            return 0
        kind, fastest = -1, None
        for value in sorted(capacities - {None}, reverse=True):
            if fastest is None or value < 0.9 * fastest:
                kind, fastest = kind + 1, value
            if value == own:
                return kind

    # Which sets of pCPUs keep the thread policy.

    def own_core(self, cpu, free):
        """Whether all threads of the core may be dedicated and are free."""
        return self.inventory.cpu[cpu].core <= free

    def keeps(self, pins, free):
        cores = {}
        for cpu in pins:
            cores.setdefault(self.core(cpu), set()).add(cpu)
        if self.policy is ThreadPolicy.ISOLATE:
            return all(
                len(own) == 1 and self.own_core(min(own), free)
                for own in cores.values()
            )
        if self.policy is ThreadPolicy.REQUIRE:
            return all(
                len(self.members(core, self.core) & free) > 1 for core in cores
            ) and (sum(len(own) == 1 for own in cores.values()) <= 1)
        return True

    def idle(self, pins):
        if self.policy is not ThreadPolicy.ISOLATE:
            return set()
        return {c for cpu in pins for c in self.inventory.cpu[cpu].core} - set(
            pins
        )

    def emulators(self, pins, host_cell, free):
        """Return the pCPUs that the emulator may have."""
        left = free - set(pins) - self.idle(pins)
        return {
            cpu
            for cpu in left
            if self.inventory.cpu[cpu].cell == host_cell
            and (
                self.policy is not ThreadPolicy.ISOLATE
                or self.own_core(cpu, left)
            )
        }

    def pin_sets(self, vcpus, emulator, host_cell, free):
        own = sorted(
            c for c in free if self.inventory.cpu[c].cell == host_cell
        )
        for pins in combinations(own, vcpus):
            if self.keeps(pins, free) and (
                not emulator or self.emulators(pins, host_cell, free)
            ):
                yield pins

    # What they cost.

    def domains(self, pins):
        return {self.domain(cpu) for cpu in pins}

    def fewest(self, cell):
        """Return by host cell the fewest domains on the empty host."""
        emulator = self.emulator and cell is self.cells[0]
        found = {}
        for host_cell in self.host_cells:
            best = inf
            for pins in self.pin_sets(
                len(cell.dedicated), emulator, host_cell, self.allocatable
            ):
                # The emulator's pCPU does not count.
                best = min(best, len(self.domains(pins)))
            found[host_cell] = best
        return found

    def limits(self):
        """Return by guest cell what each host cell is measured by."""
        own = {cell.cell: self.fewest(cell) for cell in self.cells}
        best = {c: min(found.values()) for c, found in own.items()}
        if self.strict and len(self.cells) > 1:
            fits = any(
                all(
                    own[cell.cell][host_cell] == best[cell.cell] < inf
                    for cell, host_cell in zip(self.cells, order, strict=True)
                )
                for order in permutations(self.host_cells, len(self.cells))
            )
            if not fits:
                return own
        return {
            c: {h: best[c] if n < inf else inf for h, n in found.items()}
            for c, found in own.items()
        }

    def cost(self, cell, host_cell, pins, free, fewest):
        """Return the cost of a guest cell on ``pins``, idle ones aside."""
        cost = [0] * ENTRIES
        domains = self.domains(pins)
        cores = {self.core(cpu) for cpu in pins}
        kinds = {self.kind(cpu) for cpu in pins}
        in_cell = self.members(host_cell, self.cell_of)
        over = len(domains) - fewest
        taken = set(pins) | self.idle(pins)
        l3_reached = any(
            self.shared & self.members(domain, self.domain)
            for domain in domains
        )
        for entry, strict in ((costs.PROMISES, True), (costs.WISHES, False)):
            levels = {p.pool for p in self.pools if p.strict is strict}
            if Pool.L3 in levels:
                cost[entry] = not l3_reached
            elif Pool.NUMA in levels:
                cost[entry] = not self.shared & in_cell
        if self.l3:
            cost[costs.LOCALITY] = max(0, over)
        cost[costs.KINDS] = len(kinds) - 1
        cost[costs.SLOW] = sum(1 << kind for kind in kinds)
        sizes = {
            d: len(self.members(d, self.domain) & self.allocatable)
            for d in {self.domain(cpu) for cpu in self.inventory.online}
        }
        free_here = len(free & in_cell)
        narrow = all(
            sum(d[0] == h for d in sizes) <= 4 for h in self.host_cells
        )
        cost[costs.DOMAINS] = max(0, over)
        if narrow and self.site.policy.pack_cells and not self.l3:
            weight = max(1, max(sizes.values()) // 2)
            cost[costs.DOMAINS] = max(0, over) * weight + free_here
        if self.emulator and cell is self.cells[0]:
            near = {
                self.domain(cpu)
                for cpu in self.emulators(pins, host_cell, free)
            }
            cost[costs.EMULATOR] = not near & domains
        cost[costs.PARTIAL] = sum(
            not self.members(d, self.domain) & self.allocatable <= taken
            for d in domains
        )
        cost[costs.CORES] = len(cores)
        largest = max(
            len(self.members(h, self.cell_of) & self.allocatable)
            for h in self.host_cells
        )
        if self.site.policy.pack_cells:
            cost[costs.PACK] = free_here
        else:
            cost[costs.SPREAD] = largest - free_here
        cost[costs.STRANDED] = sum(
            len((self.members(core, self.core) & free) - set(pins))
            for core in cores
        )
        cost[costs.FREE] = sum(
            len(self.members(d, self.domain) & free) for d in domains
        )
        return tuple(map(int, cost))

    def cell_of(self, cpu):
        return self.inventory.cpu[cpu].cell

    def pair(self, cell, host_cell, limit):
        """Return the least cost of a guest cell on a host cell, or None."""
        if limit == inf:
            return None
        free = self.allocatable - self.held
        emulator = self.emulator and cell is self.cells[0]
        sets = [
            (pins, {self.kind(cpu) for cpu in pins}, len(self.domains(pins)))
            for pins in self.pin_sets(
                len(cell.dedicated), emulator, host_cell, free
            )
        ]
        best = None
        for pins, kinds, count in sets:
            if self.strict and count > limit:
                continue
            # No more domains than the fewest for these kinds of core.
            if any(k <= kinds and n < count for _, k, n in sets):
                continue
            cost = self.cost(cell, host_cell, pins, free, limit)
            if best is None or cost < best:
                best = cost
        return best

    def away(self, host_cells):
        """Return how far the nearest functions are, or None."""
        package = {}
        for cpu in self.inventory.cpus:
            package.setdefault(cpu.package, set()).add(cpu.cell)
        near = set().union(
            *(cells for cells in package.values() if cells & host_cells)
        )
        total = 0
        for demand in self.devices:
            far = []
            for device in self.inventory.devices:
                if device.address in self.site.ledger.devices:
                    continue
                if device.product not in demand.match['product']:
                    continue
                if device.cell in host_cells:
                    far.append(0)
                elif demand.affinity is Affinity.SOCKET:
                    far += [1] * (device.cell in near)
                elif demand.affinity is Affinity.REQUIRED:
                    continue
                elif device.cell is None:
                    far.append(1)
                elif demand.affinity is Affinity.PREFERRED:
                    far.append(2)
            if len(far) < demand.count:
                return None
            total += sum(sorted(far)[: demand.count])
        return total

    def best(self):
        """Return the least cost of all placements; None: there is none."""
        limits = self.limits()
        pairs = {
            (cell.cell, h): self.pair(cell, h, limits[cell.cell][h])
            for cell in self.cells
            for h in self.host_cells
        }
        best = None
        for order in permutations(self.host_cells, len(self.cells)):
            found = [
                pairs[cell.cell, h]
                for cell, h in zip(self.cells, order, strict=True)
            ]
            away = self.away(set(order))
            if None in found or away is None:
                continue
            cost = [sum(entries) for entries in zip(*found, strict=True)]
            cost[costs.AWAY] = away
            cost[costs.PACKAGES] = (
                len({self.package(host_cell) for host_cell in order}) - 1
            )
            if best is None or tuple(cost) < best:
                best = tuple(cost)
        return best

    def package(self, host_cell):
        first = min(self.members(host_cell, self.cell_of))
        return self.inventory.cpu[first].package

    def of_placement(self, placement):
        """Return the cost of what the solver has chosen."""
        limits = self.limits()
        free = self.allocatable - self.held
        found = []
        for cell, placed in zip(self.cells, placement.cells, strict=True):
            pins = tuple(sorted(placed.pins.values()))
            limit = limits[cell.cell][placed.host_cell]
            found.append(self.cost(cell, placed.host_cell, pins, free, limit))
        order = [placed.host_cell for placed in placement.cells]
        cost = [sum(entries) for entries in zip(*found, strict=True)]
        cost[costs.AWAY] = self.away(set(order))
        cost[costs.PACKAGES] = len({self.package(h) for h in order}) - 1
        return tuple(cost)
