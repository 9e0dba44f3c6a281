"""Shared pCPUs: where shared vCPUs float, and where helper threads run."""

from collections.abc import Iterable
from typing import NamedTuple

from kvm_tuning.core.demands import Pool, PoolDemand
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.placement import Unkept
from kvm_tuning.core.solver.grid import Grid


class Float(NamedTuple):
    """A set of shared pCPUs for some vCPUs."""

    #: vCPUs per thousand pCPUs that it will carry.
    load: int
    cpus: frozenset[int]


def load(ledger: Ledger, cpus: frozenset[int], vcpus: int) -> int:
    """Return the vCPUs per thousand pCPUs when ``vcpus`` more are added.

    A claim's vCPUs count evenly for all the pCPUs that they float over.
    """
    milli = vcpus * 1000
    for claim in ledger.claims:
        if claim.shared_vcpus:
            common = len(claim.shared & cpus)
            milli += (
                claim.shared_vcpus * 1000 * common // len(claim.shared)
                if common
                else 0
            )
    return milli // len(cpus)


def least_loaded(
    ledger: Ledger, sets: Iterable[frozenset[int]], vcpus: int
) -> Float | None:
    """Return the least loaded of the sets that are not empty."""
    floats = [Float(load(ledger, cpus, vcpus), cpus) for cpus in sets if cpus]
    if not floats:
        return None
    return min(floats, key=lambda one: (one.load, -len(one.cpus)))


class Reach(NamedTuple):
    """What the pools of a placed guest are drawn from."""

    grid: Grid
    ledger: Ledger
    #: Its pins, the pCPUs that its shared vCPUs float over, its host cells.
    pins: frozenset[int]
    floats: frozenset[int]
    cells: frozenset[int]

    def cpus(self, pool: Pool) -> frozenset[int]:
        """Return the pCPUs of a pool; nobody else holds any of them."""
        own = self.pins | self.floats
        if pool is Pool.GUEST:
            return own
        shared = self.grid.shared - self.ledger.pcpus - self.pins
        if pool is Pool.HOUSEKEEPING:
            return shared
        if pool is Pool.NUMA:
            rows = [r for r in self.grid.rows if r.cell in self.cells]
            return shared.intersection(*[_union(r.shared for r in rows)])
        domains = {self.grid.domain_of[cpu].index for cpu in own}
        return shared & _union(
            self.grid.domains[index].shared for index in domains
        )


def pools(
    demands: Iterable[PoolDemand], reach: Reach
) -> tuple[dict[str, frozenset[int]], list[Unkept]]:
    """Return the pCPUs of each purpose, and the preferences not kept.

    An empty pool falls back to housekeeping, then to the guest's own pCPUs.

    :raises Unsupported: a promised pool is empty.
    """
    found: dict[str, frozenset[int]] = {}
    unkept = []
    for demand in demands:
        cpus = reach.cpus(demand.pool)
        if cpus:
            found[demand.purpose] = cpus
            continue
        why = _why(demand.pool)
        if demand.strict:
            raise Unsupported(f'{demand.asked_by}: {why}')
        for other in (Pool.HOUSEKEEPING, Pool.GUEST):
            cpus = reach.cpus(other)
            if cpus:
                found[demand.purpose] = cpus
                unkept.append(
                    Unkept(
                        demand.asked_by, demand.pool.value, other.value, why
                    )
                )
                break
    return found, unkept


def _why(pool: Pool) -> str:
    """Say why a pool is empty and what would help."""
    if pool is Pool.L3:
        where = "the guest's L3 domains"
    elif pool is Pool.NUMA:
        where = "the guest's host cells"
    elif pool is Pool.GUEST:
        return 'the guest has no pCPU of its own'
    else:
        return (
            'this host has no shared pCPU that is free: leave some out of '
            '[placement] dedicated_cpus'
        )
    return (
        f'no shared pCPU is in {where}: add some there to [placement] '
        'shared_cpus, or use housekeeping'
    )


def _union(sets: Iterable[frozenset[int]]) -> frozenset[int]:
    return frozenset[int]().union(*sets)
