#!/usr/bin/env python3
"""Times the placement of one guest against Nova's numa_fit_instance_to_host.

usage: tools/bench/solve.py [--rounds N]

Both place the same guests on the same half-full host: 2 x 64 cores with two
threads and 8 cores an L3 domain, as 2 and as 8 NUMA cells, filled by guests of
1 to 16 vCPUs and then half emptied again, at random with a fixed seed. They
take turns, so that both see the same noise. Ours is timed twice: on a ledger
that nobody has asked anything yet (fresh), as it is for every new guest, and
on one that has answered before (again). Run it with a Python that has Nova;
without one only our times are printed.

Exit status 1: ours takes more than LIMIT times Nova's median, or a guest of 8
cells that has 7 host cells takes more than INFEASIBLE_US microseconds.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
import gc
import logging
import pathlib
import random
import statistics
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kvm_tuning.core.demands import (  # noqa: E402
    CellDemand,
    Demand,
    PageDemand,
)
from kvm_tuning.core.exceptions import Refused  # noqa: E402
from kvm_tuning.core.inventory import Inventory  # noqa: E402
from kvm_tuning.core.ledger import Claim, Ledger  # noqa: E402
from kvm_tuning.core.site import Policy, Site  # noqa: E402
from kvm_tuning.core.solver.solve import solve  # noqa: E402
from tests.fixtures.fake_host import FakeHost  # noqa: E402

LIMIT = 0.3
INFEASIBLE_US = 1000
# vCPUs and guest cells
GUESTS = ((2, 1), (8, 1), (16, 1), (16, 2), (32, 1), (32, 2))
# cells of each of the two packages
SHAPES = (1, 4)
MIB_PER_VCPU = 2048
# Guests that one side places before it is the other one's turn.
TURN = 5
PAGE_KIB = 2048


def host(cells: int, used: Mapping[int, int] | None = None) -> Inventory:
    """Return the host, with so many pages in use in each cell."""
    made: Inventory = FakeHost(
        cells=2 * cells,
        l3_per_cell=8 // cells,
        cores=8,
        huge_pages={PAGE_KIB: 230400 // cells},
        used_pages={
            (cell, PAGE_KIB): number for cell, number in (used or {}).items()
        },
        memory_gib=512 // cells,
        cells_per_package=cells,
    ).inventory()
    return made


def guest(vcpus: int, cells: int) -> list[Demand]:
    demands: list[Demand] = []
    for cell in range(cells):
        first, end = (n * vcpus // cells for n in (cell, cell + 1))
        own = frozenset(range(first, end))
        memory = len(own) * MIB_PER_VCPU * 1024
        demands += [
            CellDemand(cell, own, own, memory),
            PageDemand(cell, (PAGE_KIB,)),
        ]
    return demands


def half_full(cells: int) -> Site:
    """Return a host half of whose pCPUs are held by guests that run."""
    inventory = host(cells)
    policy = Policy(dedicated_cpus=inventory.online)
    rng = random.Random(1)
    claims: list[Claim] = []
    for number in range(1000):
        site = Site(inventory, Ledger(tuple(claims)), policy=policy)
        try:
            placed = solve(guest(rng.randint(1, 16), 1), site)
        except Refused:
            break
        (cell,) = placed.cells
        claims.append(
            Claim(
                f'guest-{number}',
                f'guest-{number}',
                placed.held,
                pages={(cell.host_cell, PAGE_KIB): cell.pages},
                pages_in_use=True,
            )
        )
    while 2 * sum(len(c.pcpus) for c in claims) > len(inventory.cpus):
        del claims[rng.randrange(len(claims))]
    used: Counter[int] = Counter()
    for claim in claims:
        for (cell_id, _size), pages in claim.pages.items():
            used[cell_id] += pages
    return Site(host(cells, used), Ledger(tuple(claims)), policy=policy)


class Nova:
    """The same host and guests as Nova's objects."""

    def __init__(self) -> None:
        from nova import objects
        import nova.conf
        from nova.virt import hardware

        logging.disable(logging.CRITICAL)
        nova.conf.CONF([], project='nova', default_config_files=[])
        nova.conf.CONF.set_override(
            'packing_host_numa_cells_allocation_strategy',
            True,
            group='compute',
        )
        objects.register_all()
        self.objects: Any = objects
        self.hardware: Any = hardware

    def host(self, site: Site) -> Any:
        held = set(site.ledger.pcpus)
        cells = []
        for cell in site.inventory.cells:
            used = sum(
                claim.pages.get((cell.id, PAGE_KIB), 0)
                for claim in site.ledger.claims
            )
            (pool,) = cell.pages
            small = cell.memory_bytes // 1024 - pool.size_kib * pool.total
            pages = [
                self.objects.NUMAPagesTopology(
                    size_kb=4, total=small // 4, used=0, reserved=0
                ),
                self.objects.NUMAPagesTopology(
                    size_kb=PAGE_KIB, total=pool.total, used=used, reserved=0
                ),
            ]
            cores = {site.inventory.cpu[cpu].core for cpu in cell.cpus}
            cells.append(
                self.objects.NUMACell(
                    id=cell.id,
                    cpuset=set(),
                    pcpuset=set(cell.cpus),
                    memory=cell.memory_bytes >> 20,
                    cpu_usage=0,
                    memory_usage=used * PAGE_KIB // 1024,
                    pinned_cpus=held & cell.cpus,
                    siblings=[set(core) for core in sorted(cores, key=min)],
                    mempages=pages,
                    socket=0,
                )
            )
        return self.objects.NUMATopology(cells=cells)

    def guest(self, demands: list[Demand]) -> Any:
        return self.objects.InstanceNUMATopology(
            cells=[
                self.objects.InstanceNUMACell(
                    id=demand.cell,
                    cpuset=set(),
                    pcpuset=set(demand.dedicated),
                    memory=demand.memory_kib // 1024,
                    pagesize=PAGE_KIB,
                    cpu_policy='dedicated',
                    cpu_thread_policy='prefer',
                    cpu_pinning=None,
                    cpuset_reserved=None,
                    cpu_topology=None,
                )
                for demand in demands
                if isinstance(demand, CellDemand)
            ]
        )

    def fit(self, host: Any, guest: Any) -> bool:
        return (
            self.hardware.numa_fit_instance_to_host(host, guest, None)
            is not None
        )


def timed(run: Callable[[], object]) -> tuple[float, bool]:
    """Return microseconds of CPU time, and whether there was a place.

    As timeit does, without garbage collection: it would charge one side for
    what the other one left.
    """
    gc.collect(0)
    gc.disable()
    start = time.thread_time()
    try:
        found = run() is not False
    except Refused:
        found = False
    taken = (time.thread_time() - start) * 1e6
    gc.enable()
    return taken, found


def compare(
    site: Site,
    demands: list[Demand],
    nova: Nova | None,
    rounds: int,
    nova_rounds: int,
) -> tuple[float, float, float | None, str]:
    """Return the medians: ours fresh and again, Nova's; who found a place."""
    fresh: list[float] = []
    again: list[float] = []
    theirs: list[float] = []
    host_ = nova.host(site) if nova else None
    answers = ''
    for number in range(rounds):
        for _ in range(TURN):
            ledger = Ledger(site.ledger.claims)
            new = Site(site.inventory, ledger, policy=site.policy)
            one, found = timed(partial(solve, demands, new))
            fresh.append(one)
            again.append(timed(partial(solve, demands, new))[0])
            answers = 'fits' if found else 'refused'
        if nova and number < nova_rounds:
            for _ in range(TURN):
                wanted = nova.guest(demands)
                one, fits = timed(partial(nova.fit, host_, wanted))
                theirs.append(one)
            if fits is not found:
                answers += ', not by Nova' if found else ', by us alone'
    return (
        statistics.median(fresh),
        statistics.median(again),
        statistics.median(theirs) if theirs else None,
        answers,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=40)
    rounds = parser.parse_args().rounds
    nova = None
    try:
        nova = Nova()
    except ImportError:
        print('Nova is not importable: our times alone')
    status = 0
    print(
        f'{"host":8}{"vCPUs/cells":>12}{"fresh us":>10}{"again us":>10}'
        f'{"Nova us":>10}{"ratio":>7}  answer'
    )
    for cells in SHAPES:
        site = half_full(cells)
        for vcpus, guest_cells in GUESTS:
            fresh, again, theirs, answer = compare(
                site, guest(vcpus, guest_cells), nova, rounds, rounds
            )
            ratio = fresh / theirs if theirs else 0
            status |= ratio > LIMIT
            print(
                f'2 x {cells:<4}{f"{vcpus}/{guest_cells}":>12}{fresh:10.1f}'
                f'{again:10.1f}{theirs or 0:10.1f}{ratio:7.2f}  {answer}'
            )
    inventory = host(4)
    site = Site(
        inventory,
        Ledger((Claim('full', 'full', inventory.cells[7].cpus),)),
        policy=Policy(dedicated_cpus=inventory.online),
    )
    fresh, again, theirs, answer = compare(site, guest(64, 8), nova, rounds, 1)
    status |= fresh > INFEASIBLE_US
    print(
        f'8 cells, 7 free: {fresh:.0f} us fresh, {again:.0f} again, '
        f'Nova {theirs or 0:.0f}; {answer}'
    )
    verdict = 'missed' if status else 'kept'
    print(f'limits, {LIMIT} of Nova and {INFEASIBLE_US} us: {verdict}')
    return int(status)


if __name__ == '__main__':
    sys.exit(main())
