#!/usr/bin/env python3
"""The scheduler's filter and weigher, per host, over many hosts.

usage: tools/bench/scheduling.py [--hosts N] [--runs N] [--base DIR] [--bar R]

Needs Nova (see tests/nova/requirements.txt). Each run builds the hosts again,
as nova-scheduler does for a request, passes each through the filter and gives
those that are left to the weigher: what is timed is the CPU time of both,
without the garbage collector, whose turns depend on what else lives. With
--base, the directory of another checkout (git worktree add DIR COMMIT), both
take turns in one run, and the ratio is printed; exit status 1 when it is above
--bar.
"""

import argparse
import gc
import json
import logging
import pathlib
import random
import statistics
import subprocess
import sys
import time
from typing import Any
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Named so by every release.
L3, LOCALITY = 'kvm_tuning_l3', 'kvm_tuning_locality'
CORES, L3_CORES, CELLS = 64, 8, 2
#: Extra specs, vCPUs and guest cells.
GUESTS: dict[str, tuple[dict[str, str], int, int]] = {
    'small': ({'hw:cpu_policy': 'dedicated'}, 4, 1),
    'l3': ({'hw:cpu_policy': 'dedicated', 'kvm:cpu_locality': 'l3'}, 8, 1),
    'strict': (
        {
            'hw:cpu_policy': 'dedicated',
            'kvm:cpu_locality': 'l3',
            'kvm:cpu_locality_policy': 'strict',
        },
        16,
        1,
    ),
    'two cells': (
        {'hw:cpu_policy': 'dedicated', 'kvm:cpu_locality': 'l3'}, 16, 2,
    ),
}  # fmt: skip


def topology(rng: random.Random, objects: Any) -> Any:
    """Return a host of two cells, filled with guests of 2 to 8 threads."""
    made = []
    each = CORES // CELLS
    for number in range(CELLS):
        cores = range(number * each, (number + 1) * each)
        siblings = [{core, core + CORES} for core in cores]
        pinned: set[int] = set()
        for core in rng.sample(list(cores), rng.randrange(each)):
            pinned |= {core, core + CORES}
        made.append(
            objects.NUMACell(
                id=number,
                cpuset=set(),
                pcpuset=set().union(*siblings),
                memory=1 << 20,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=pinned,
                siblings=siblings,
                mempages=[
                    objects.NUMAPagesTopology(
                        size_kb=4, total=1 << 28, used=0, reserved=0
                    )
                ],
                socket=number,
            )
        )
    return objects.NUMATopology(cells=made)


def worker(root: str, hosts: int, runs: int) -> None:
    """Print the times of a checkout, one JSON list of us per host a line."""
    sys.path.insert(0, root)
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    from nova import objects
    import nova.conf
    from nova.scheduler import host_manager
    from nova.virt import hardware

    from kvm_tuning.adapters.nova.scheduler_filter import KvmTuningFilter
    from kvm_tuning.adapters.nova.scheduler_weigher import KvmTuningWeigher

    nova.conf.CONF([], project='nova', default_config_files=[])
    objects.register_all()
    domains = [
        f'{first}-{first + L3_CORES - 1},'
        f'{first + CORES}-{first + CORES + L3_CORES - 1}'
        for first in range(0, CORES, L3_CORES)
    ]
    stats = {L3: ';'.join(domains), LOCALITY: ''}
    judges = KvmTuningFilter(), KvmTuningWeigher()
    for name, (specs, vcpus, cells) in GUESTS.items():
        extra = dict(specs) | ({'hw:numa_nodes': '2'} if cells > 1 else {})
        flavor = objects.Flavor(
            name=name, flavorid=name, vcpus=vcpus, memory_mb=4096, root_gb=0,
            ephemeral_gb=0, extra_specs=extra,
        )  # fmt: skip
        image = objects.ImageMeta(properties=objects.ImageMetaProps())
        took = []
        for _ in range(runs):
            # Every run, and both checkouts, see the same hosts.
            rng = random.Random(1)
            states = []
            for number in range(hosts):
                state = host_manager.HostState(f'h{number}', 'n', 'cell')
                state.stats = stats
                state.numa_topology = topology(rng, objects)
                state.pci_stats = None
                state.limits = {}
                state.cpu_allocation_ratio = 1.0
                state.ram_allocation_ratio = 1.0
                state.allocation_candidates = [{'mappings': {}}]
                states.append(state)
            spec = objects.RequestSpec(
                flavor=flavor, image=image, pci_requests=None,
                numa_topology=hardware.numa_get_constraints(flavor, image),
                instance_uuid='5f1d8d3c-3f4e-4c0a-9a6e-0c6a3c1f7d11',
            )  # fmt: skip
            gc.collect()
            gc.disable()
            begun = time.process_time()
            passed = [s for s in states if judges[0].host_passes(s, spec)]
            judges[1].weigh_objects(
                [_Weighed(state) for state in passed], spec
            )
            took.append((time.process_time() - begun) / hosts * 1e6)
            gc.enable()
        print(json.dumps([name, took]), flush=True)


class _Weighed:
    def __init__(self, state: Any) -> None:
        self.obj = state


def times(root: str, hosts: int) -> dict[str, float]:
    """Return the us per host of one run of a checkout, by guest."""
    done = subprocess.run(
        [
            sys.executable, __file__, '--worker', root, '--hosts', str(hosts),
            '--runs', '2',
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    found = (json.loads(line) for line in done.stdout.splitlines())
    # The first run of each guest fills the caches of a new process.
    return {name: took[-1] for name, took in found}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--hosts', type=int, default=1000)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--base', metavar='DIR')
    parser.add_argument('--bar', type=float, default=0.6)
    parser.add_argument('--worker', metavar='DIR', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.hosts, options.runs)
        return 0
    roots = [str(ROOT)] + ([options.base] if options.base else [])
    runs: dict[str, list[dict[str, float]]] = {root: [] for root in roots}
    for number in range(options.runs):
        for root in roots[:: 1 if number % 2 else -1]:
            runs[root].append(times(root, options.hosts))
    worst = 0.0
    for name in GUESTS:
        medians = [
            statistics.median(run[name] for run in runs[root])
            for root in roots
        ]
        text = f'{name:10} {medians[0]:6.1f} us per host'
        if options.base:
            ratio = medians[0] / medians[1]
            worst = max(worst, ratio)
            text += f', base {medians[1]:6.1f}, ratio {ratio:.2f}'
        print(text)
    return 1 if worst > options.bar else 0


if __name__ == '__main__':
    sys.exit(main())
