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

Columns: refused creates and vCPUs in per cent; VMs that span no more L3
domains than their size needs, all and those with 8 or 16 vCPUs or more, in
per cent; L3 domains over that need; median CPU time of one fit in us.
"""

import argparse
import csv
from dataclasses import dataclass, field
import gzip
import heapq
import logging
import math
import os
import pathlib
import random
import statistics
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
warnings.simplefilter('ignore')

from nova import objects  # noqa: E402
import nova.conf  # noqa: E402
from nova.virt import hardware  # noqa: E402

from kvm_tuning.adapters.nova import (  # noqa: E402
    compactness,
    fit,
    packing,
)
from kvm_tuning.core.demands import Locality, LocalityDemand  # noqa: E402

CONF = nova.conf.CONF

#: The host-wide preference: [defaults] knobs = kvm:cpu_locality=l3.
L3 = LocalityDemand(Locality.L3, False)

HOSTS = 4
SOCKETS, CORES, THREADS, L3_CORES = 2, 64, 2, 8
ALL = SOCKETS * CORES
MEMORY_MIB = 2048 * 1024
NPS = {'NPS1': 1, 'NPS4': 4}
#: Share of the batches by factor, as in the baseline.
SHARE = {1: 0.012, 4: 0.003}
SEEDS = {1: (1, 2), 4: (1, 2, 3)}


def threads(core):
    return {core + number * ALL for number in range(THREADS)}


def l3_of(cpu):
    return cpu % ALL // L3_CORES


DOMAINS = tuple(
    frozenset(c for c in range(ALL * THREADS) if l3_of(c) == domain)
    for domain in range(ALL // L3_CORES)
)


def topology(nps, stock_order):
    """Return an empty host as the libvirt driver shows it."""
    cells = []
    number = SOCKETS * nps
    size = ALL // number
    for cell in range(number):
        cores = range(cell * size, (cell + 1) * size)
        siblings = [threads(core) for core in cores]
        if stock_order:
            # As LibvirtDriver._get_host_numa_topology: sorted() of sets.
            siblings = sorted(
                map(set, {tuple(sorted(each)) for each in siblings})
            )
        memory = MEMORY_MIB // number
        huge = int(memory * 0.95) // 2
        cells.append(
            objects.NUMACell(
                id=cell,
                cpuset=set(),
                pcpuset=set().union(*siblings),
                memory=memory,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                siblings=siblings,
                mempages=[
                    objects.NUMAPagesTopology(
                        size_kb=4,
                        total=(memory - huge * 2) * 256,
                        used=0,
                        reserved=0,
                    ),
                    objects.NUMAPagesTopology(
                        size_kb=2048, total=huge, used=0, reserved=0
                    ),
                ],
                socket=cell // nps,
            )
        )
    return objects.NUMATopology(cells=cells)


@dataclass
class Vm:
    vcpus: int
    memory_mib: int
    start: int
    end: int


def read_trace(path):
    """Return the VMs of each batch."""
    batches = {}
    with gzip.open(path, 'rt') as lines:
        for row in csv.DictReader(lines):
            batches.setdefault(row['batch'], []).append(
                Vm(
                    int(row['vcpu']),
                    int(float(row['mem_gib']) * 1024),
                    int(row['start_s']),
                    int(row['end_s']),
                )
            )
    return list(batches.values())


def make_trace():
    """Return batches with the trace's sizes: a stand-in."""
    rng = random.Random(7)
    batches = []
    for _ in range(82_946):
        start = rng.randrange(0, 490_000, 300)
        size = rng.choices((1, 2, 4, 8, 16), (561, 202, 102, 134, 1))[0]
        batches.append(
            [
                Vm(
                    size,
                    size * 1792,
                    start,
                    -1
                    if rng.random() < 0.057
                    else start + int(rng.lognormvariate(8.5, 1.8)),
                )
                for _ in range(min(60, 1 + int(rng.expovariate(0.25))))
            ]
        )
    return batches


def events(batches, factor, seed):
    """Return (time, kind, VM) of a sample, ends before starts."""
    rng = random.Random(seed)
    chosen = [b for b in batches if rng.random() < SHARE[factor]]
    vms = [vm for batch in chosen for vm in batch]
    found = []
    for number, vm in enumerate(vms):
        found.append((vm.start, 1, number, vm))
        if vm.end >= 0:
            found.append((max(vm.end, vm.start + 1), 0, number, vm))
    heapq.heapify(found)
    return [heapq.heappop(found) for _ in range(len(found))]


def guest(vcpus, memory_mib, cell_pcpus, policy):
    """Return the topology that a VM asks for."""
    nodes = 1
    while vcpus / nodes > cell_pcpus:
        nodes *= 2
    each = vcpus // nodes
    memory = max(2, memory_mib // nodes // 2 * 2)
    return objects.InstanceNUMATopology(
        cells=[
            objects.InstanceNUMACell(
                id=node,
                cpuset=set(),
                pcpuset=set(range(node * each, (node + 1) * each)),
                memory=memory,
                pagesize=2048,
                cpu_policy='dedicated',
                cpu_thread_policy=policy,
                cpuset_reserved=None,
            )
            for node in range(nodes)
        ]
    )


@dataclass
class Row:
    """What one replay gave."""

    creates: int = 0
    refused: int = 0
    vcpus: int = 0
    refused_vcpus: int = 0
    before_first: int | None = None
    spans: list = field(default_factory=list)
    times: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def share(self, least):
        chosen = [(s, n) for v, s, n in self.spans if v >= least]
        if not chosen:
            return float('nan')
        return 100 * sum(s <= n for s, n in chosen) / len(chosen)

    def numbers(self):
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
            excess,
            statistics.median(self.times) * 1e6,
            sum(self.times) * 1000,
        )


class Replay:
    """Four hosts, and who is on them."""

    def __init__(self, nps, allocator, policy):
        self.weighed = allocator == 'weighed'
        self.policy = policy
        self.hosts = [topology(nps, True) for _ in range(HOSTS)]
        self.cell_pcpus = len(self.hosts[0].cells[0].pcpuset)
        self.taken = [set() for _ in range(HOSTS)]
        self.where = {}
        self.row = Row()

    def create(self, number, vcpus, memory_mib):
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
        spans = len({l3_of(pin) for pin in pins})
        need = math.ceil(vcpus / (L3_CORES * THREADS))
        row.spans.append((vcpus, spans, need))

    def delete(self, number):
        if number not in self.where:
            return
        host, made = self.where.pop(number)
        self.hosts[host] = hardware.numa_usage_from_instance_numa(
            self.hosts[host], made, free=True
        )
        for cell in made.cells:
            self.taken[host].difference_update(cell.cpu_pinning.values())

    def _place(self, vcpus, memory_mib):
        scores = []
        for host, shown in enumerate(self.hosts):
            wanted = guest(vcpus, memory_mib, self.cell_pcpus, self.policy)
            begin = time.thread_time()
            if self.weighed:
                found = fit.search(shown, wanted)
                self.row.times.append(time.thread_time() - begin)
                if found is not None:
                    scores.append((compactness.score(found), host))
                continue
            made = hardware.numa_fit_instance_to_host(shown, wanted, None)
            self.row.times.append(time.thread_time() - begin)
            if made is not None:
                return host, made
        if not scores:
            return None, None
        host = min(scores)[1]
        wanted = guest(vcpus, memory_mib, self.cell_pcpus, self.policy)
        return host, hardware.numa_fit_instance_to_host(
            self.hosts[host], wanted, None
        )

    def _check(self, host, made, pins, vcpus):
        wrong = self.row.wrong
        if len(set(pins)) != vcpus or self.taken[host] & set(pins):
            wrong.append(f'pCPUs given twice: {sorted(pins)}')
        for cell in made.cells:
            own = self.hosts[host].cells[cell.id].pcpuset
            if not set(cell.cpu_pinning.values()) <= own:
                wrong.append(f'pins outside of cell {cell.id}')
            if self.policy == 'require':
                cores = {}
                for pin in cell.cpu_pinning.values():
                    cores.setdefault(pin % ALL, []).append(pin)
                alone = sum(len(c) == 1 for c in cores.values())
                if alone > len(cell.pcpuset) % THREADS:
                    wrong.append(f'require: {alone} vCPUs without a sibling')


ALLOCATORS = ('stock', 'ours', 'weighed')


def replay(batches, nps, factor, seed, allocator, policy):
    packing.uninstall()
    if allocator != 'stock':
        packing.install(domains=DOMAINS, locality=L3)
    run = Replay(NPS[nps], allocator, policy)
    for _when, kind, number, vm in events(batches, factor, seed):
        if kind:
            run.create(number, vm.vcpus * factor, vm.memory_mib * factor)
        else:
            run.delete(number)
    packing.uninstall()
    return run.row


HEADER = (
    'host', 'load', 'allocator', 'seed', 'refused%', 'vCPUs%', 'before',
    'L3', 'L3>=8', 'L3>=16', 'excess', 'us/fit', 'ms',
)  # fmt: skip
FORM = (
    '{:5} {:4} {:9} {:>6} {:>8} {:>7} {:>7} '
    '{:>6} {:>6} {:>6} {:>6} {:>6} {:>8}'
)


def show(host, load, allocator, seed, numbers):
    texts = [
        '-' if math.isnan(n) else f'{n:.2f}' if n < 1000 else f'{n:.0f}'
        for n in numbers
    ]
    print(FORM.format(host, load, allocator, seed, *texts), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--nps', choices=tuple(NPS), nargs='*', default=[*NPS])
    parser.add_argument(
        '--factor', type=int, choices=tuple(SHARE), nargs='*', default=[4, 1]
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
    batches = read_trace(path) if path else make_trace()
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
