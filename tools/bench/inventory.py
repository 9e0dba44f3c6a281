#!/usr/bin/env python3
"""Times reading a host's inventory against hwloc's lstopo.

usage: tools/bench/inventory.py [ROOT]

ROOT holds a machine's sys and proc. Without it, the 256-CPU machine of
hwloc's test data is unpacked from the directory that KVM_TUNING_HOST_DUMPS
names. Ours is the read in this process, lstopo's its whole process; they
take turns, so that both see the same noise. Exit status 1: ours takes more
than LIMIT times as long.
"""

from collections.abc import Callable
import contextlib
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from kvm_tuning.host.inventory import reader

DUMP = '256ppc-8n8s4t'
ROUNDS = 15
LIMIT = 5.0


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def lstopo(root: str) -> None:
    subprocess.run(
        ['lstopo-no-graphics', '--input', root, '--if', 'fsroot'],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )


def compare(root: str) -> float:
    """Print the medians; return the ratio of all of ours to lstopo's."""
    runs: dict[str, Callable[[], object]] = {
        'lstopo, its process': lambda: lstopo(root),
        'inventory': lambda: reader.read(root),
        'inventory, CPUs and cells': lambda: reader.read(root, devices=False),
    }
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _round in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(seconds(run))
    medians = {name: statistics.median(t) for name, t in times.items()}
    base = medians['lstopo, its process']
    print(f'{root}: medians of {ROUNDS} rounds')
    for name, median in medians.items():
        print(f'{name:26} {median * 1e3:8.2f} ms {median / base:6.2f} x')
    return medians['inventory'] / base


def main() -> int:
    with contextlib.ExitStack() as stack:
        if len(sys.argv) > 1:
            root = sys.argv[1]
        else:
            from tests.fixtures.host_dumps import HostDump, available

            if not available():
                print('KVM_TUNING_HOST_DUMPS is not set', file=sys.stderr)
                return 2
            dump = stack.enter_context(HostDump(DUMP))
            root = dump.root
        ratio = compare(root)
    verdict = 'kept' if ratio <= LIMIT else 'MISSED'
    print(f'at most {LIMIT:g} x: {verdict}')
    return 0 if ratio <= LIMIT else 1


if __name__ == '__main__':
    sys.exit(main())
