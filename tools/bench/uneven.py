#!/usr/bin/env python3
"""Guests of several cells: wrong answers, and the time of a refusal.

usage: tools/bench/uneven.py [--runs N] [--stock] [--seed N]

Needs Nova (see tests/nova/requirements.txt). Hosts of 2 to 8 cells with 256
pCPUs, each filled at random, get guests of 2 to 8 cells, all of one size
(even) or not. Each is asked of the scheduler's filter and of the claim, as
Nova calls them, with the host as JSON as Nova stores it. There is a place
when the guest's cells, largest first, fit the host's, emptiest first.

An answer is invalid when two guest cells share a host cell, when a vCPU has
no pCPU, one that is taken or one elsewhere, or when Nova cannot book it; a
refusal is false when there is a place. With --stock Nova answers itself, with
its own filter: its search is factorial, so take fewer runs.

At the end a guest of 8 cells is refused by a host of 8 cells, of which one is
full, or has half of each core taken (require). Exit status 1: an answer was
wrong, or a refusal took 1 ms or more.
"""

import argparse
from collections.abc import Callable, Collection, Iterable, Sequence
import logging
import pathlib
import random
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Any
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
warnings.simplefilter('ignore')

from nova import exception, objects  # noqa: E402
from nova.compute import claims  # noqa: E402
import nova.conf  # noqa: E402
from nova.scheduler.filters import numa_topology_filter  # noqa: E402
from nova.virt import hardware  # noqa: E402

from kvm_tuning.adapters.nova.compute import claims as our_claims  # noqa: E402
from kvm_tuning.adapters.nova.fit import context, fit  # noqa: E402
from kvm_tuning.adapters.nova.scheduler_filter import (  # noqa: E402
    KvmTuningFilter,
)
from kvm_tuning.adapters.nova.scheduling import hosts, stats  # noqa: E402
from tools.bench.bookable import is_valid  # noqa: E402

CORES, L3_CORES = 128, 8
LIMIT_US = 1000
SHAPES = (
    (2, 2), (4, 2), (4, 3), (4, 4), (8, 2), (8, 3), (8, 4), (8, 8),
)  # fmt: skip
UUID = '5f1d8d3c-3f4e-4c0a-9a6e-0c6a3c1f7d11'

DOMAINS = tuple(
    frozenset(c for c in range(2 * CORES) if c % CORES // L3_CORES == domain)
    for domain in range(CORES // L3_CORES)
)
PREFERRED = context.preferences({}, {context.LOCALITY: 'l3'})
STATS = stats.write(DOMAINS, PREFERRED)
TUNING = SimpleNamespace(
    reader=SimpleNamespace(preferences=PREFERRED),
    host=SimpleNamespace(domains=DOMAINS),
    check=lambda *args: None,
    overlaps={},
)


#: Which pCPUs of a cell, with its cores, are taken.
Held = Callable[[int, Sequence[int]], Collection[int]]


def host(cells: int, held: Held) -> Any:
    """Return a host with the pCPUs of ``held(cell, its cores)`` taken."""
    made = []
    each = CORES // cells
    for number in range(cells):
        cores = range(number * each, (number + 1) * each)
        siblings = [{core, core + CORES} for core in cores]
        made.append(
            objects.NUMACell(
                id=number,
                cpuset=set(),
                pcpuset=set().union(*siblings),
                memory=1 << 20,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(held(number, cores)),
                siblings=siblings,
                mempages=[
                    objects.NUMAPagesTopology(
                        size_kb=4, total=1 << 28, used=0, reserved=0
                    )
                ],
                socket=0,
            )
        )
    return objects.NUMATopology(cells=made)


def guest(sizes: Iterable[int], policy: str = 'prefer') -> Any:
    cells: list[Any] = []
    first = 0
    for number, size in enumerate(sizes):
        cells.append(
            objects.InstanceNUMACell(
                id=number,
                cpuset=set(),
                pcpuset=set(range(first, first + size)),
                memory=1024,
                cpu_policy='dedicated',
                cpu_thread_policy=policy,
                cpu_pinning=None,
                cpuset_reserved=None,
                pagesize=None,
            )
        )
        first += size
    return objects.InstanceNUMATopology(cells=cells)


def flavor(policy: str) -> Any:
    return objects.Flavor(
        name='uneven',
        flavorid='uneven',
        vcpus=1,
        memory_mb=1024,
        root_gb=0,
        ephemeral_gb=0,
        extra_specs={
            'hw:cpu_policy': 'dedicated',
            'hw:cpu_thread_policy': policy,
        },
    )


class Asked:
    """One guest on one host, as the scheduler and the claim ask it."""

    def __init__(
        self,
        there: Any,
        sizes: Sequence[int],
        ours: bool,
        policy: str = 'prefer',
    ) -> None:
        self.there, self.ours = there, ours
        kind = flavor(policy)
        self.filter = (
            KvmTuningFilter()
            if ours
            else numa_topology_filter.NUMATopologyFilter()
        )
        self.state = SimpleNamespace(
            host='host',
            nodename='host',
            stats=STATS if ours else {},
            numa_topology=there,
            cpu_allocation_ratio=1.0,
            ram_allocation_ratio=1.0,
            pci_stats=None,
            limits={},
            allocation_candidates=[{'mappings': {}}],
        )
        self.spec = objects.RequestSpec(
            flavor=kind,
            image=objects.ImageMeta(properties=objects.ImageMetaProps()),
            numa_topology=guest(sizes, policy),
            pci_requests=None,
            instance_uuid=UUID,
        )
        self.instance = objects.Instance(
            uuid=UUID,
            flavor=kind,
            numa_topology=guest(sizes, policy),
            system_metadata={},
            image_ref='',
        )
        self.tracker = SimpleNamespace(
            driver=SimpleNamespace(_kvm_tuning=TUNING if ours else None),
            pci_tracker=SimpleNamespace(stats=None),
        )
        self.node = objects.ComputeNode(numa_topology=there._to_json())
        self.requests = objects.InstancePCIRequests(requests=[])

    def passes(self) -> Any:
        return self.filter.host_passes(self.state, self.spec)

    def fitted(self) -> Any:
        """Return what the fit below the claim gives, as it is asked there:
        the claim also reads the host from JSON, which takes Nova longer.
        """
        wanted = self.spec.numa_topology
        if not self.ours:
            return hardware.numa_fit_instance_to_host(self.there, wanted, None)
        near = context.locality({}, PREFERRED)
        what = context.FitContext(DOMAINS, near)
        token = fit.WHY.set([])
        try:
            with context.applied(what):
                return hardware.numa_fit_instance_to_host(
                    self.there, wanted, None
                )
        finally:
            fit.WHY.reset(token)

    def claimed(self) -> Any:
        """Return the topology that the claim gives; None for a refusal."""
        try:
            claim = claims.Claim(
                None,
                self.instance,
                'host',
                self.tracker,
                self.node,
                self.requests,
            )
        except exception.ComputeResourcesUnavailable:
            return None
        return claim.claimed_numa_topology


def fits(there: Any, sizes: Sequence[int]) -> bool:
    free = sorted((c.avail_pcpus for c in there.cells), reverse=True)
    return all(
        f >= s for f, s in zip(free, sorted(sizes, reverse=True), strict=False)
    )


def sample(
    rng: random.Random, cells: int, parts: int, uneven: bool
) -> tuple[Any, list[int]]:
    """Return a host and the sizes of a guest's cells."""
    each = 2 * CORES // cells

    def held(number: int, cores: Sequence[int]) -> Collection[int]:
        return rng.sample(
            sorted(full(cores)), rng.choice((0, 1, 2, 3)) * each // 4
        )

    there = host(cells, held)
    if not uneven:
        return there, [rng.choice((1, 2, 3)) * each // 4] * parts
    return there, [rng.choice((1, 2, 3, 4)) * each // 4 for _ in range(parts)]


def count(
    runs: int,
    cells: int,
    parts: int,
    uneven: bool,
    ours: bool,
    rng: random.Random,
) -> tuple[int, int, int, int]:
    """Return how many had a place, and the wrong answers of both."""
    feasible = filter_wrong = invalid = refused = 0
    for _ in range(runs):
        there, sizes = sample(rng, cells, parts, uneven)
        place = fits(there, sizes)
        feasible += place
        asks = Asked(there, sizes, ours)
        filter_wrong += asks.passes() is not place
        found = asks.claimed()
        if found is None:
            refused += place
        else:
            invalid += not place or not is_valid(found, there)
    return feasible, filter_wrong, invalid, refused


def timed(
    ours: bool,
    runs: int,
    policy: str,
    taken: Callable[[Sequence[int]], set[int]],
) -> list[float]:
    """Return the median CPU time of a refusal by the filter and below the
    claim, in us.
    """

    def held(number: int, cores: Sequence[int]) -> Collection[int]:
        return taken(cores) if number == 3 else ()

    times = []
    for what in ('passes', 'fitted'):
        took = []
        for _ in range(runs):
            asks = Asked(host(8, held), [8] * 8, ours, policy)
            begin = time.thread_time()
            found = getattr(asks, what)()
            took.append(time.thread_time() - begin)
            if found:
                raise SystemExit(f'{what}: not refused')
        times.append(statistics.median(took) * 1e6)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--runs', type=int, default=300)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--stock', action='store_true')
    args = parser.parse_args()
    ours = not args.stock
    logging.disable(logging.CRITICAL)
    nova.conf.CONF([], project='nova', default_config_files=[])
    nova.conf.CONF.set_override(
        'packing_host_numa_cells_allocation_strategy', True, 'compute'
    )
    objects.register_all()
    if ours:
        our_claims.install()
        hosts.install()
    rng = random.Random(args.seed)
    wrong = 0
    form = '{:>10} {:>11} {:>7} {:>5} {:>9} {:>13} {:>14} {:>14}'
    print(form.format(
        'host cells', 'guest cells', 'sizes', 'runs', 'has place',
        'filter wrong', 'claim invalid', 'claim refused',
    ))  # fmt: skip
    for uneven in (False, True):
        for cells, parts in SHAPES:
            row = count(args.runs, cells, parts, uneven, ours, rng)
            wrong += sum(row[1:])
            sizes = 'uneven' if uneven else 'even'
            print(form.format(cells, parts, sizes, args.runs, *row))
    slow = False
    for name, policy, taken in (
        ('is full', 'prefer', full),
        ('has half cores', 'require', set),
    ):
        times = timed(ours, 9 if args.stock else 99, policy, taken)
        slow |= max(times) >= LIMIT_US
        print(
            f'8 guest cells, one of 8 host cells {name}: filter '
            f'{times[0]:.0f} us, fit of the claim {times[1]:.0f} us'
        )
    print(f'{wrong} wrong answers')
    return int(bool(wrong or slow))


def full(cores: Iterable[int]) -> set[int]:
    return {cpu for core in cores for cpu in (core, core + CORES)}


if __name__ == '__main__':
    sys.exit(main())
