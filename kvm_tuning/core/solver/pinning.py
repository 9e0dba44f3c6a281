"""Give the vCPUs of a packing their pCPUs: the lowest that its cost allows."""

from typing import NamedTuple

from kvm_tuning.core.demands import ThreadPolicy
from kvm_tuning.core.solver import cores
from kvm_tuning.core.solver.grid import Row
from kvm_tuning.core.solver.packing import Ask, Packing, pool
from kvm_tuning.core.solver.stock import Stock


class Pins(NamedTuple):
    """The pCPUs of a packing, core by core, and what they hold idle."""

    pcpus: list[int]
    idle: list[int]
    emulator: int | None


def pin(
    stock: Stock, packing: Packing, ask: Ask, kinds: int, row: Row
) -> Pins:
    """Return the pCPUs of a packing: the lowest that its cost allows.

    :param kinds: the cores that may be used, as bits, as for the profiles.
    """
    isolate = ask.policy is ThreadPolicy.ISOLATE
    pcpus: list[int] = []
    idle: list[int] = []
    shares = [(p.domain.mask, p.counts, p.slots) for p in packing.full]
    if packing.share:
        shares += [
            (p.domain.mask, p.counts, packing.share) for p in packing.part
        ]
    elif packing.part:
        mask = 0
        for profile in packing.part:
            mask |= profile.domain.mask
        shares.append((mask, pool(packing.part), packing.rest))
    for mask, counts, vcpus in shares:
        takes = _takes(isolate, counts, vcpus)
        _take(stock, mask & kinds, takes, isolate, pcpus, idle)
    emulator = None
    if ask.emulator:
        emulator = _emulator(stock, packing, isolate, pcpus, idle, row)
    return Pins(pcpus, idle, emulator)


def _takes(
    isolate: bool, counts: tuple[int, ...], vcpus: int
) -> list[cores.Take]:
    if isolate:
        return cores.isolated(counts, vcpus)
    return cores.takes(counts, vcpus)


def _take(
    stock: Stock,
    mask: int,
    takes: list[cores.Take],
    isolate: bool,
    pcpus: list[int],
    idle: list[int],
) -> None:
    """Add the pCPUs of the lowest cores that ``takes`` names."""
    grid = stock.grid
    siblings = grid.siblings
    for size, used, number in takes:
        if isolate:
            found = stock.isolable & grid.sized[size] & mask
        else:
            found = stock.at_least[size] & mask
            if size < grid.threads:
                found &= ~stock.at_least[size + 1]
        for _ in range(number):
            core = found & -found
            found ^= core
            mask ^= core
            threads = siblings[core.bit_length() - 1]
            if len(threads) != size:
                threads = _threads(stock, core)
            if isolate:
                pcpus.append(threads[0])
                idle += threads[1:]
            else:
                pcpus += threads[:used] if used < size else threads


def _threads(stock: Stock, core: int) -> list[int]:
    """Return the free threads of a core, given as its bit."""
    grid = stock.grid
    threads = grid.siblings[core.bit_length() - 1]
    return [cpu for cpu in threads if stock.free & grid.bit[cpu]]


def _emulator(
    stock: Stock,
    packing: Packing,
    isolate: bool,
    pcpus: list[int],
    idle: list[int],
    row: Row,
) -> int:
    """Return a pCPU for the emulator: the least useful one for others.

    Next to the vCPUs if there is one, on the core with the fewest free
    threads. With ``isolate`` it is on a core of its own, held idle.
    """
    grid = stock.grid
    own = [p.domain for p in packing.full + packing.part]
    rest = Stock(
        grid, grid.all & ~stock.free | grid.held(frozenset(pcpus + idle))
    )
    far = [d for d in row.domains if d not in own]
    for domains in (own, far):
        mask = 0
        for domain in domains:
            mask |= domain.mask
        if isolate:
            found = rest.isolable & mask
            for size in range(1, grid.threads + 1):
                cores_ = found & grid.sized[size]
                if cores_:
                    threads = _threads(rest, cores_ & -cores_)
                    idle += threads[1:]
                    return threads[0]
            continue
        for size in range(1, grid.threads + 1):
            found = rest.at_least[size] & mask
            if size < grid.threads:
                found &= ~rest.at_least[size + 1]
            if found:
                return _threads(rest, found & -found)[0]
    raise ValueError('no room for the emulator')
