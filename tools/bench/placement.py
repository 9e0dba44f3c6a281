#!/usr/bin/env python3
"""Replay a trace of VMs through Nova's placement: stock, ours, ours weighed.

Needs Nova (see tests/nova/requirements.txt). The trace is the CSV that
KVM_TUNING_TRACE names (vmid,batch,vcpu,mem_gib,start_s,end_s); without it a
workload of the same size distribution is made up, and it says so.

Tenants' batches are sampled with a seed, their sizes multiplied (x4) or not
(x1), and each VM goes to the first of four hosts (2 x 64 cores, two threads,
16 L3 domains of 8 cores, 2 TiB) that fits, through
numa_fit_instance_to_host and numa_usage_from_instance_numa; `weighed` takes
the host that our weigher likes best. Ours prefers L3 locality for every VM, as
a host-wide default. A VM has dedicated vCPUs and 2 MiB
pages, and as many guest cells as it needs. Every answer is checked: no pCPU
is given twice, pins lie in their cells, and the thread policy holds.

Columns: creates and vCPUs refused, in per cent; VMs placed before the first
refusal; VMs that span no more L3 domains than their size needs, in per cent:
all, those with 8 or 16 vCPUs or more, and weighted by vCPUs; L3 domains over
that need; VMs on as many NUMA cells as they have; VMs that shared a core with
another one at any time; VMs of several vCPUs on more cores than they need;
median CPU time of one fit in us, and the sum of all fits in ms.

`stock+heal` and `ours+heal` heal all hosts each 100 events (kvm_tuning's
core.healing: pCPUs are exchanged between VMs), `stock-once` does it once, half
way through. Their L3 columns are of the VMs that are there after each heal;
the others' are of each VM when it is placed.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
import logging
import math
import os
import pathlib
import statistics
import sys
import time
from typing import Any
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
warnings.simplefilter('ignore')

from nova import objects  # noqa: E402
import nova.conf  # noqa: E402
from nova.virt import hardware  # noqa: E402

from kvm_tuning.adapters.nova.fit import fit, patch  # noqa: E402
from kvm_tuning.adapters.nova.scheduling import score  # noqa: E402
from kvm_tuning.core.demands import Locality, LocalityDemand  # noqa: E402
from tools.bench import healed, workload  # noqa: E402
from tools.bench.made_up_hosts import (  # noqa: E402
    ALL,
    DOMAINS,
    L3_CORES,
    THREADS,
    guest,
    l3_of,
    nodes_of,
    topology,
)

CONF = nova.conf.CONF

#: The host-wide preference: [defaults] knobs = kvm:cpu_locality=l3.
L3 = LocalityDemand(Locality.L3, False)

HOSTS = 4
NPS = {'NPS1': 1, 'NPS4': 4}
SEEDS = {1: (1, 2), 4: (1, 2, 3)}


@dataclass
class Row:
    """What one replay gave."""

    creates: int = 0
    refused: int = 0
    vcpus: int = 0
    refused_vcpus: int = 0
    before_first: int | None = None
    #: vCPUs, L3 domains that it spans, and that its size needs.
    spans: list[tuple[int, int, int]] = field(default_factory=list)
    off_cells: int = 0
    sharing: set[int] = field(default_factory=set)
    several: int = 0
    spread: int = 0
    times: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def share(self, least: int) -> float:
        chosen = [(s, n) for v, s, n in self.spans if v >= least]
        if not chosen:
            return float('nan')
        return 100 * sum(s <= n for s, n in chosen) / len(chosen)

    def numbers(self) -> tuple[float, ...]:
        placed = max(1, self.creates - self.refused)
        near = sum(v for v, s, n in self.spans if s <= n)
        excess = sum(s for _, s, _ in self.spans) / max(
            1, sum(n for _, _, n in self.spans)
        )
        return (
            100 * self.refused / self.creates,
            100 * self.refused_vcpus / self.vcpus,
            self.creates if self.before_first is None else self.before_first,
            self.share(0),
            self.share(8),
            self.share(16),
            100 * near / max(1, sum(v for v, _, _ in self.spans)),
            excess,
            100 - 100 * self.off_cells / placed,
            100 * len(self.sharing) / placed,
            100 * self.spread / max(1, self.several),
            statistics.median(self.times) * 1e6,
            sum(self.times) * 1000,
        )


class Replay:
    """Four hosts, and who is on them."""

    def __init__(self, nps: int, allocator: str, policy: str) -> None:
        self.weighed = allocator == 'weighed'
        #: Whether L3 domains are counted after each heal.
        self.heals = allocator in HEALING
        self.policy = policy
        self.hosts = [topology(nps, True) for _ in range(HOSTS)]
        self.cell_pcpus = len(self.hosts[0].cells[0].pcpuset)
        self.taken: list[set[int]] = [set() for _ in range(HOSTS)]
        self.on_core: list[defaultdict[int, set[int]]] = [
            defaultdict(set) for _ in range(HOSTS)
        ]
        self.where: dict[int, tuple[int, Any]] = {}
        self.row = Row()

    def create(self, number: int, vcpus: int, memory_mib: int) -> None:
        row = self.row
        row.creates += 1
        row.vcpus += vcpus
        host, made = self._place(vcpus, memory_mib)
        if made is None:
            row.refused += 1
            row.refused_vcpus += vcpus
            if row.before_first is None:
                row.before_first = row.creates - 1
            return
        pins = [p for c in made.cells for p in c.cpu_pinning.values()]
        self._check(host, made, pins, vcpus)
        self.taken[host].update(pins)
        self.where[number] = host, made
        self.hosts[host] = hardware.numa_usage_from_instance_numa(
            self.hosts[host], made
        )
        if not self.heals:
            row.spans.append(_span(pins))
        self._note(number, host, made, pins)

    def _note(
        self, number: int, host: int, made: Any, pins: Sequence[int]
    ) -> None:
        """Count what the table tells of cells and cores."""
        row, cores = self.row, {pin % ALL for pin in pins}
        ids = {cell.id for cell in made.cells}
        row.off_cells += len(ids) != nodes_of(len(pins), self.cell_pcpus)
        if len(pins) > 1:
            row.several += 1
            row.spread += len(cores) > math.ceil(len(pins) / THREADS)
        for core in cores:
            there = self.on_core[host][core]
            if there:
                row.sharing |= there | {number}
            there.add(number)

    def delete(self, number: int) -> None:
        if number not in self.where:
            return
        host, made = self.where.pop(number)
        self.hosts[host] = hardware.numa_usage_from_instance_numa(
            self.hosts[host], made, free=True
        )
        for cell in made.cells:
            self.taken[host].difference_update(cell.cpu_pinning.values())
            for pin in cell.cpu_pinning.values():
                self.on_core[host][pin % ALL].discard(number)

    def heal(self) -> None:
        """Heal each host, and count the L3 domains of its VMs."""
        for host in range(HOSTS):
            there = {
                n: made for n, (at, made) in self.where.items() if at == host
            }
            self.hosts[host] = healed.healed(self.hosts[host], there, DOMAINS)
            self.taken[host].clear()
            self.on_core[host].clear()
            for number, made in there.items():
                pins = [p for c in made.cells for p in c.cpu_pinning.values()]
                if self.taken[host] & set(pins):
                    self.row.wrong.append(f'healed: given twice: {pins}')
                self.taken[host].update(pins)
                for pin in pins:
                    self.on_core[host][pin % ALL].add(number)
                self.row.spans.append(_span(pins))

    def _place(self, vcpus: int, memory_mib: int) -> tuple[int, Any]:
        scores: list[tuple[Any, int]] = []
        for host, shown in enumerate(self.hosts):
            wanted = guest(vcpus, memory_mib, self.cell_pcpus, self.policy)
            begin = time.thread_time()
            if self.weighed:
                found = fit.search(shown, wanted)
                self.row.times.append(time.thread_time() - begin)
                if found is not None:
                    scores.append((score.score(found), host))
                continue
            made = hardware.numa_fit_instance_to_host(shown, wanted, None)
            self.row.times.append(time.thread_time() - begin)
            if made is not None:
                return host, made
        if not scores:
            return 0, None
        host = min(scores)[1]
        wanted = guest(vcpus, memory_mib, self.cell_pcpus, self.policy)
        return host, hardware.numa_fit_instance_to_host(
            self.hosts[host], wanted, None
        )

    def _check(
        self, host: int, made: Any, pins: Sequence[int], vcpus: int
    ) -> None:
        wrong = self.row.wrong
        if len(set(pins)) != vcpus or self.taken[host] & set(pins):
            wrong.append(f'pCPUs given twice: {sorted(pins)}')
        for cell in made.cells:
            own = self.hosts[host].cells[cell.id].pcpuset
            if not set(cell.cpu_pinning.values()) <= own:
                wrong.append(f'pins outside of cell {cell.id}')
            if self.policy == 'require':
                cores: dict[int, list[int]] = {}
                for pin in cell.cpu_pinning.values():
                    cores.setdefault(pin % ALL, []).append(pin)
                alone = sum(len(c) == 1 for c in cores.values())
                if alone > len(cell.pcpuset) % THREADS:
                    wrong.append(f'require: {alone} vCPUs without a sibling')


def _span(pins: Sequence[int]) -> tuple[int, int, int]:
    """Return vCPUs, L3 domains that they span, and that they need."""
    spans = len({l3_of(pin) for pin in pins})
    return len(pins), spans, math.ceil(len(pins) / (L3_CORES * THREADS))


#: Events between two heals; None: one, half way through.
HEALING = {'stock+heal': 100, 'ours+heal': 100, 'stock-once': None}
ALLOCATORS = ('stock', 'ours', 'weighed', *HEALING)


def replay(
    batches: workload.Batches,
    nps: str,
    factor: int,
    seed: int,
    allocator: str,
    policy: str,
) -> Row:
    patch.uninstall()
    if not allocator.startswith('stock'):
        patch.install(domains=DOMAINS, locality=L3)
    run = Replay(NPS[nps], allocator, policy)
    events = [*workload.events(batches, factor, seed)]
    heals = set()
    if allocator in HEALING:
        each = HEALING[allocator]
        heals = (
            {len(events) // 2}
            if each is None
            else set(range(each, len(events), each))
        )
    for count, (_when, kind, number, vm) in enumerate(events):
        if count in heals:
            run.heal()
        if kind:
            run.create(number, vm.vcpus * factor, vm.memory_mib * factor)
        else:
            run.delete(number)
    patch.uninstall()
    return run.row


HEADER = (
    'host', 'load', 'allocator', 'seed', 'refused', 'vCPUs', 'before', 'L3',
    'L3>=8', 'L3>=16', 'L3*vCPU', 'excess', 'NUMA', 'shared', 'spread',
    'us/fit', 'ms',
)  # fmt: skip
FORM = '{:4} {:4} {:10} {:>6}' + ' {:>7}' * (len(HEADER) - 4)


def show(
    host: str,
    load: str,
    allocator: str,
    seed: object,
    numbers: Sequence[float],
) -> None:
    texts = [
        '-' if math.isnan(n) else f'{n:.2f}' if n < 100 else f'{n:.0f}'
        for n in numbers
    ]
    print(FORM.format(host, load, allocator, seed, *texts), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--nps', choices=tuple(NPS), nargs='*', default=[*NPS])
    parser.add_argument(
        '--factor',
        type=int,
        choices=tuple(workload.SHARE),
        nargs='*',
        default=[4, 1],
    )
    parser.add_argument('--seed', type=int, nargs='*')
    parser.add_argument(
        '--allocator', choices=ALLOCATORS, nargs='*', default=ALLOCATORS
    )
    parser.add_argument(
        '--thread-policy', choices=('prefer', 'require'), default='prefer'
    )
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    CONF([], project='nova', default_config_files=[])
    CONF.set_override(
        'packing_host_numa_cells_allocation_strategy', True, 'compute'
    )
    objects.register_all()
    path = os.environ.get('KVM_TUNING_TRACE')
    batches = workload.read_trace(path) if path else workload.make_trace()
    if not path:
        print('KVM_TUNING_TRACE is not set: a made-up workload')
    print(FORM.format(*HEADER))
    wrong = 0
    for factor in args.factor:
        seeds = args.seed or SEEDS[factor]
        for nps in args.nps:
            for allocator in args.allocator:
                rows = []
                for seed in seeds:
                    row = replay(
                        batches, nps, factor, seed, allocator,
                        args.thread_policy,
                    )  # fmt: skip
                    wrong += len(row.wrong)
                    for text in row.wrong[:3]:
                        print('WRONG:', text)
                    rows.append(row.numbers())
                    show(nps, f'x{factor}', allocator, seed, rows[-1])
                medians = map(statistics.median, zip(*rows, strict=True))
                show(nps, f'x{factor}', allocator, 'median', list(medians))
    print(f'{wrong} wrong answers')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
