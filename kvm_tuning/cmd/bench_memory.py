"""``kvm-tuning bench memory``: what the place of memory and threads costs."""

import argparse
from collections.abc import Sequence
import datetime
import itertools
import os
import time
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments, bench_files, bench_result
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.core import cpuset
from kvm_tuning.core.bench import arms, spread
from kvm_tuning.core.exceptions import (
    BenchFailed,
    KvmTuningError,
    WrongUsage,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    import contextlib

    from kvm_tuning.core.bench.arms import Arm, Choice, Cpus
    from kvm_tuning.core.bench.memory import Run
    from kvm_tuning.core.inventory import Inventory

#: What a run takes on a processor of today, for the plan.
_RUN_SECONDS = 3
#: Memory besides the buffers.
_SPARE_BYTES = 128 << 20


class BenchMemory(Report):
    """Measure what it costs where threads and their memory are.

    Two threads read random blocks of 1 KiB of two buffers, on sets of pCPUs
    that take turns. Counts are right on every machine; times are left out
    where the machine is emulated. Changes nothing, and needs no root rights.
    """

    examples = (
        'kvm-tuning bench memory --dry-run',
        'kvm-tuning bench memory --cpus 0,2 --cpus 0,32 --output a.json',
        'kvm-tuning bench memory --html memory.html',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--cpus',
            metavar='CPUSET',
            action='append',
            default=[],
            help=(
                'Let the threads run on these pCPUs, of two each on one; give '
                'it twice to compare. Default: two pCPUs that are near each '
                'other, and two that are not.'
            ),
        )
        parser.add_argument(
            '--memory',
            choices=(arms.BOUND, arms.UNBOUND, arms.BOTH),
            help=(
                "Bind the buffers to the threads' NUMA cells, or not "
                '(default: both where there are several cells).'
            ),
        )
        parser.add_argument(
            '--size',
            metavar='MIB',
            type=_positive,
            default=512,
            help='The size of each of both buffers (default: 512).',
        )
        parser.add_argument(
            '--blocks',
            metavar='N',
            type=_positive,
            default=2_000_000,
            help='How many blocks each thread reads (default: 2000000).',
        )
        parser.add_argument(
            '--rounds',
            metavar='N',
            type=_positive,
            default=spread.FEWEST_ROUNDS,
            help=(
                'How often each arm runs; fewer than the default of '
                f'{spread.FEWEST_ROUNDS} show no difference.'
            ),
        )
        parser.add_argument(
            '--minutes',
            metavar='N',
            type=_positive,
            default=3,
            help='Start no round that would end later than this (default: 3).',
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='Show what would run, and do not run it.',
        )
        bench_files.add_outputs(parser)
        arguments.add_connect(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.host.inventory import reader

        bench_files.check_outputs(parsed_args)
        inventory = reader.read(devices=False)
        taken, note = self._taken(parsed_args, inventory)
        choice = _choice(parsed_args, inventory, taken)
        memory = parsed_args.memory or (
            arms.BOTH if len(inventory.cells) > 1 else arms.UNBOUND
        )
        chosen = list(arms.arms(inventory, choice.sets, memory))
        plan = _plan(parsed_args, chosen, choice.reason, note)
        if parsed_args.dry_run:
            return plan
        _check_memory(parsed_args.size)
        result = self._measure(parsed_args, inventory, chosen)
        result['plan'] = plan.document
        bench_files.write(parsed_args, [result])
        return bench_result.output([result])

    def _taken(
        self, parsed_args: argparse.Namespace, inventory: 'Inventory'
    ) -> tuple[frozenset[int], str]:
        """Return the pCPUs that guests hold, and what is not known of it."""
        from kvm_tuning.adapters import connection, standalone

        try:
            conf = arguments.configuration(self.app.options)
            uri = parsed_args.connect or conf.libvirt.uri
            with connection.open(uri, read_only=True) as libvirt:
                records = libvirt.records()
            held = standalone.claimed(records, conf, inventory).pcpus
        except KvmTuningError as error:
            return (
                frozenset(),
                f'it is unknown which pCPUs guests have: {error}',
            )
        return held, ''

    def _measure(
        self,
        parsed_args: argparse.Namespace,
        inventory: 'Inventory',
        chosen: 'Sequence[Arm]',
    ) -> dict[str, Any]:
        from kvm_tuning.host.bench import machine, memory, program

        rounds = self._rounds(parsed_args, chosen, program.built('memory'))
        checksums = {run.checksum for runs in rounds for run in runs}
        if len(checksums) > 1:
            raise BenchFailed(
                'the runs have read different data: '
                f'{", ".join(sorted(checksums))}; the memory is broken, or '
                'this is a bug'
            )
        hypervisor = rounds[0][0].hypervisor
        why = machine.no_times(hypervisor)
        made = datetime.datetime.now(datetime.UTC)
        return {
            'format': bench_result.FORMAT,
            'workload': 'memory',
            'made': made.strftime('%Y-%m-%dT%H:%M:%SZ'),
            'machine': machine.fingerprint(inventory)
            | {'hypervisor': hypervisor},
            'parameters': {
                'size_mib': parsed_args.size,
                'blocks': parsed_args.blocks,
                'seed': memory.SEED,
                'rounds': len(rounds),
            },
            'checksum': checksums.pop(),
            'arms': [bench_result.arm_document(arm) for arm in chosen],
            'no_times': why,
            'rounds': [
                bench_result.run_document(number, arm, run, why is None)
                for number, runs in enumerate(rounds, 1)
                for arm, run in zip(chosen, runs, strict=True)
            ],
        }

    def _rounds(
        self,
        parsed_args: argparse.Namespace,
        chosen: 'Sequence[Arm]',
        path: str,
    ) -> 'list[list[Run]]':
        """Return the runs of each round: the arms take turns, so that what
        changes over time meets all of them.
        """
        from kvm_tuning.host.bench import memory

        begun = time.monotonic()
        rounds: list[list[Run]] = []
        with self._progress(len(chosen) * parsed_args.rounds) as step:
            for number in itertools.count(1):
                started = time.monotonic()
                runs = []
                for arm in chosen:
                    step(f'round {number}, {arm.name}')
                    runs.append(
                        memory.run(
                            path, arm, parsed_args.size, parsed_args.blocks
                        )
                    )
                rounds.append(runs)
                now = time.monotonic()
                late = now - begun + now - started > parsed_args.minutes * 60
                if number == parsed_args.rounds or late:
                    return rounds
        raise AssertionError

    def _progress(
        self, steps: int
    ) -> 'contextlib.AbstractContextManager[Callable[[str], None]]':
        from kvm_tuning.cmd import progress

        return progress.steps(self.app.stderr, steps)


def _choice(
    parsed_args: argparse.Namespace, inventory: 'Inventory', taken: 'Cpus'
) -> 'Choice':
    """Return the pCPUs to compare.

    :raises WrongUsage: those that were named cannot be used.
    """
    allowed = frozenset(os.sched_getaffinity(0)) & inventory.online
    if not parsed_args.cpus:
        if not allowed - taken:
            raise BenchFailed('guests hold every pCPU of this host')
        return arms.choose(inventory, allowed - taken)
    sets = []
    for text in parsed_args.cpus:
        try:
            cpus = cpuset.parse(text)
        except ValueError as error:
            raise WrongUsage(f'--cpus {text}: {error}') from error
        for wrong, why in (
            (cpus - inventory.online, 'are not online'),
            (cpus - allowed, 'may not be used by this process'),
            (cpus & taken, 'belong to guests'),
        ):
            if wrong:
                raise WrongUsage(
                    f'--cpus {text}: pCPUs {cpuset.format(wrong)} {why}; '
                    f'pCPUs {cpuset.format(allowed - taken)} can be used'
                )
        if not cpus:
            raise WrongUsage(f'--cpus {text}: names no pCPU')
        sets.append(cpus)
    return arms.Choice(tuple(dict.fromkeys(sets)), 'as --cpus names them')


def _plan(
    parsed_args: argparse.Namespace,
    chosen: 'Sequence[Arm]',
    reason: str,
    note: str,
) -> Output:
    """Return what would run, on which pCPUs, and how long."""
    seconds = len(chosen) * parsed_args.rounds * _RUN_SECONDS
    seconds = min(seconds, parsed_args.minutes * 60)
    document = {
        'arms': [bench_result.arm_document(arm) for arm in chosen],
        'reason': reason,
        'rounds': parsed_args.rounds,
        'size_mib': parsed_args.size,
        'blocks': parsed_args.blocks,
        'seconds': seconds,
        'notes': [note] if note else [],
    }
    table = Section(
        'Arms',
        ('arm', 'thread 0', 'thread 1', 'buffers bound to'),
        [
            (
                arm.name,
                *map(cpuset.format, arm.cpus),
                'not bound'
                if arm.cells is None
                else 'cells {} and {}'.format(*arm.cells),
            )
            for arm in chosen
        ],
    )
    lines = [
        reason,
        f'{parsed_args.rounds} rounds, in which the arms take turns: about '
        f'{seconds} s, at most {parsed_args.minutes} min and a round',
        f'each run reads {parsed_args.blocks} blocks of 1 KiB a thread, of '
        f'two buffers of {parsed_args.size} MiB',
        "needs a C compiler once, for a program in the caller's cache",
        *([note] if note else []),
    ]
    return Output(
        document,
        (table, Section('', lines=[f'- {line}' for line in lines])),
        main=table,
    )


def _check_memory(size_mib: int) -> None:
    """:raises BenchFailed: the buffers do not fit into what is free."""
    from kvm_tuning.host.access.sysfs import Tree
    from kvm_tuning.host.inventory.host import Host

    kib = Host(Tree('/')).meminfo_kib('MemAvailable')
    wanted = (2 * size_mib << 20) + _SPARE_BYTES
    if kib is not None and kib << 10 < wanted:
        raise BenchFailed(
            f'--size {size_mib}: two buffers take {wanted >> 20} MiB, and '
            f'{kib >> 10} MiB are available; take a smaller --size'
        )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
