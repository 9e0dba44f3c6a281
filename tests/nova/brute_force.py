"""Our fit through Nova's functions, against what is possible at all.

    python -m tests.nova.brute_force [--runs N] [--seed N]

Small random hosts, half full, get random guests. What is possible is found by
force: Nova's own check of one guest cell on one host cell, for every pair and
every set of L3 domains, and every way to give the guest's cells host cells of
their own. Counted are answers that are invalid, refusals of guests that have a
place, and places in more L3 domains than need be where L3 is requested. The
exit status is 1 when there is one.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, combinations, permutations
import logging
import random
import sys
import warnings

warnings.simplefilter('ignore')

from nova import exception, objects  # noqa: E402
import nova.conf  # noqa: E402
from nova.virt import hardware  # noqa: E402

from kvm_tuning.adapters.nova import packing  # noqa: E402
from kvm_tuning.adapters.nova.fit import context  # noqa: E402
from kvm_tuning.adapters.nova.fit.context import FitContext  # noqa: E402
from kvm_tuning.core.demands import Locality, LocalityDemand  # noqa: E402
from tools.bench.bookable import is_valid  # noqa: E402

KINDS = ('invalid', 'false refusal', 'impossible', 'less compact')


@dataclass(frozen=True)
class Host:
    """Cells of L3 domains of cores, each a set of pCPUs."""

    cells: tuple[tuple[tuple[frozenset[int], ...], ...], ...]
    pinned: frozenset[int]
    memory: tuple[int, ...]

    @property
    def domains(self):
        return tuple(
            frozenset().union(*domain)
            for cell in self.cells
            for domain in cell
        )

    def topology(self):
        """Return it as Nova has it."""
        return objects.NUMATopology(
            cells=[
                self.cell(number, range(len(cell)))
                for number, cell in enumerate(self.cells)
            ]
        )

    def cell(self, number, domains, empty=False):
        """Return one cell with the pCPUs of these of its L3 domains."""
        cores = [set(c) for d in domains for c in self.cells[number][d]]
        pcpus = set().union(*cores)
        return objects.NUMACell(
            id=number,
            cpuset=set(),
            pcpuset=pcpus,
            memory=self.memory[number],
            cpu_usage=0,
            memory_usage=0,
            pinned_cpus=set() if empty else pcpus & self.pinned,
            siblings=cores,
            mempages=[
                objects.NUMAPagesTopology(
                    size_kb=4,
                    total=self.memory[number] * 256,
                    used=0,
                    reserved=0,
                )
            ],
            socket=0,
        )


@dataclass(frozen=True)
class Guest:
    """What a guest requests."""

    sizes: tuple[int, ...]
    policy: str | None
    isolated: bool
    memory: int
    #: None: no locality; whether it is a promise.
    strict: bool | None

    def topology(self):
        first, cells = 0, []
        for number, size in enumerate(self.sizes):
            cells.append(
                objects.InstanceNUMACell(
                    id=number,
                    cpuset=set(),
                    pcpuset=set(range(first, first + size)),
                    memory=self.memory,
                    cpu_policy='dedicated',
                    cpu_thread_policy=self.policy,
                    cpu_pinning=None,
                    cpuset_reserved=None,
                    pagesize=None,
                )
            )
            first += size
        return objects.InstanceNUMATopology(
            cells=cells,
            emulator_threads_policy='isolate' if self.isolated else None,
        )

    @property
    def locality(self):
        if self.strict is None:
            return None
        return LocalityDemand(Locality.L3, self.strict)


def a_host(rng):
    """Return a host of at most three cells; some siblings are offline."""
    first, cells = 0, []
    threads, width = rng.choice((1, 2, 2)), rng.randint(1, 4)
    for _ in range(rng.randint(1, 3)):
        cell = []
        for _ in range(rng.randint(1, 3)):
            domain = []
            for _ in range(width):
                online = threads if rng.random() < 0.9 else 1
                domain.append(frozenset(range(first, first + online)))
                first += threads
            cell.append(tuple(domain))
        cells.append(tuple(cell))
    pcpus = [p for c in cells for d in c for core in d for p in core]
    pinned = rng.sample(
        pcpus, int(len(pcpus) * rng.choice((0, 0.3, 0.5, 0.7)))
    )
    memory = tuple(rng.choice((1024, 4096)) for _ in cells)
    return Host(tuple(cells), frozenset(pinned), memory)


def a_guest(rng, host):
    """Return a guest that may fit on a host."""
    largest = max(sum(map(len, chain(*cell))) for cell in host.cells)
    sizes = tuple(
        rng.randint(1, max(1, largest * 2 // 3))
        for _ in range(rng.randint(1, len(host.cells)))
    )
    if rng.random() < 0.3:
        sizes = sizes[:1] * len(sizes)
    return Guest(
        sizes,
        rng.choice((None, 'prefer', 'prefer', 'require', 'isolate')),
        rng.random() < 0.2,
        rng.choice((256, 2048)),
        rng.choice((None, False, False, True)),
    )


def spans(host, guest, empty=False):
    """Return for each guest cell and host cell the fewest L3 domains that
    hold it, None where Nova refuses the two. Nova's own functions answer.
    """
    return [
        [
            _fewest_of(host, number, guest, index, empty)
            for number in range(len(host.cells))
        ]
        for index in range(len(guest.sizes))
    ]


def _fewest_of(host, number, guest, index, empty):
    wanted = guest.topology().cells[index]
    reserved = int(guest.isolated and not index)
    every = range(len(host.cells[number]))
    # The isolated emulator may be in another L3 domain of the cell, and
    # Nova's isolate goes by the siblings of the whole cell.
    if not _holds(host.cell(number, every, empty), wanted, reserved):
        return None
    return next(
        count
        for count in range(1, len(every) + 1)
        for domains in combinations(every, count)
        if _holds(host.cell(number, domains, empty), wanted, 0)
    )


def _holds(cell, wanted, reserved):
    try:
        found = hardware._numa_fit_instance_cell(
            cell, wanted.obj_clone(), None, reserved
        )
    except exception.NovaException:
        return False
    return found is not None


def fewest(table):
    """Return the fewest L3 domains over all ways to give each guest cell a
    host cell of its own; None: there is no way.
    """
    rows, columns = len(table), len(table[0])
    ways = (
        [table[row][column] for row, column in enumerate(way)]
        for way in permutations(range(columns), rows)
    )
    return min((sum(w) for w in ways if None not in w), default=None)


def judged(host, guest, best, limit):
    """Return what is wrong with our answer; None: nothing.

    :param best: the fewest L3 domains now; None: it has no place.
    :param limit: the fewest with nobody on the host.
    """
    there, wanted = host.topology(), guest.topology()
    what = FitContext(host.domains, guest.locality)
    with context.applied(what):
        found = hardware.numa_fit_instance_to_host(there, wanted, None)
    strict = guest.strict is True
    if found is None:
        if best is None or strict and (best > limit or len(guest.sizes) > 1):
            # What a strict guest of several cells may have depends on which
            # cells have it: not judged here.
            return None
        return 'false refusal'
    if best is None:
        return 'impossible'
    if not is_valid(found, there):
        return 'invalid'
    if guest.strict is not None and _spanned(host, found) > best:
        return 'less compact'
    return None


def _spanned(host, found):
    return sum(
        sum(not domain.isdisjoint(cell.cpu_pinning.values()) for domain in
            host.domains)
        for cell in found.cells
    )  # fmt: skip


def run(runs, seed):
    """Return what was wrong, by kind, with an example of each."""
    rng = random.Random(seed)
    cases = []
    packing.uninstall()
    for _ in range(runs):
        host = a_host(rng)
        guest = a_guest(rng, host)
        best = fewest(spans(host, guest))
        # What the hardware allows, whatever its memory.
        small = replace(guest, memory=1)
        limit = None if best is None else fewest(spans(host, small, True))
        cases.append((host, guest, best, limit))
    counts, examples = Counter(), {}
    packing.install()
    try:
        for case in cases:
            counts['has a place'] += case[2] is not None
            wrong = judged(*case)
            if wrong is not None:
                counts[wrong] += 1
                examples.setdefault(wrong, case)
    finally:
        packing.uninstall()
    return counts, examples


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    objects.register_all()
    nova.conf.CONF([], project='nova', default_config_files=[])
    counts, examples = run(options.runs, options.seed)
    for kind, case in examples.items():
        print(f'{kind}, for example: {case}')
    print(
        f'{options.runs} hosts and requests, {counts["has a place"]} with a '
        'place: ' + ', '.join(f'{counts[kind]} {kind}' for kind in KINDS)
    )
    return 1 if examples else 0


if __name__ == '__main__':
    sys.exit(main())
