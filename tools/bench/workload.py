"""VMs that come and go: a trace's, or made up with the same sizes."""

import csv
from dataclasses import dataclass
import gzip
import heapq
import random

#: Share of the batches by factor, as in the baseline.
SHARE = {1: 0.012, 4: 0.003}


@dataclass
class Vm:
    vcpus: int
    memory_mib: int
    start: int
    end: int


#: The VMs of each batch.
Batches = list[list[Vm]]


def read_trace(path: str) -> Batches:
    """Return the VMs of each batch."""
    batches: dict[str, list[Vm]] = {}
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


def make_trace() -> Batches:
    """Return batches with the trace's sizes: a stand-in."""
    rng = random.Random(7)
    batches: Batches = []
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


def events(
    batches: Batches, factor: int, seed: int
) -> list[tuple[int, int, int, Vm]]:
    """Return (time, kind, number, VM) of a sample, ends before starts."""
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
