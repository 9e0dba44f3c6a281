"""``kvm-tuning guest``: tune, start and move guests of this host."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments, complete
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.cmd.several_guests import ChangesGuests, OnGuests, Tuning

if TYPE_CHECKING:
    from kvm_tuning.adapters.standalone import Change


class GuestTune(ChangesGuests):
    """Plan guests and rewrite their definitions.

    All or nothing for each guest: a promise that cannot be kept changes
    nothing. The parts that a running guest gets only after a restart are
    listed.
    """

    everyone = 'Take every domain that libvirt has.'
    takes_untuned = True
    examples = (
        'kvm-tuning guest tune web1 --flavor perf.json',
        'kvm-tuning guest tune web1 web2 --flavor perf.json --plan',
        'kvm-tuning guest tune web1 --flavor perf.json --image debian.yaml '
        '--detailed-exit-codes',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser)
        parser.add_argument(
            '--plan',
            action='store_true',
            help='Show the whole plan, not only its summary.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters import connection, standalone
        from kvm_tuning.adapters.trial import judge
        from kvm_tuning.cmd import requests

        self.check_names(parsed_args)
        conf, uri = self.configured(parsed_args)
        hooks = loader.load()
        request = requests.read(parsed_args, hooks, conf)
        with (
            connection.open(uri) as libvirt,
            judge.of_host(uri, libvirt.versions()[0]) as libvirts,
        ):
            found = self.for_each(
                self.names(parsed_args, libvirt),
                lambda name: standalone.tune(
                    libvirt, conf, hooks, request, name, judge=libvirts
                ),
            )
        return self.output(
            parsed_args,
            found,
            lambda change: _tuned(change, parsed_args.plan),
        )


class GuestUndo(ChangesGuests):
    """Take the tuning of guests' definitions back.

    The former values are restored; what somebody else has changed since
    stays, and is listed.
    """

    examples = (
        'kvm-tuning guest undo web1',
        'kvm-tuning guest undo --all',
    )

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import connection, standalone

        self.check_names(parsed_args)
        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            found = self.for_each(
                self.names(parsed_args, libvirt),
                lambda name: standalone.undo(libvirt, conf, name),
            )
        return self.output(parsed_args, found, _untuned)


class GuestStart(OnGuests):
    """Start guests, unless another one has what was promised to them.

    Their VFs get their attributes before, their vhost threads their pCPUs
    after the start. Exits with 3 when a guest runs and the latter failed.
    """

    examples = (
        'kvm-tuning guest start web1',
        'kvm-tuning guest start --all',
    )

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.adapters import connection, starting

        self.check_names(parsed_args)
        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            found = self.for_each(
                self.names(parsed_args, libvirt),
                lambda name: starting.start(libvirt, conf, name),
            )
        if not self.errors and any(each.started for each in found.values()):
            self.changed(parsed_args)
        for name, done in found.items():
            word = 'started' if done.started else 'runs already'
            self.app.stdout.write(f'{name}: {word}\n')
            self.report_failures(done.steps)
        return self.status


class GuestRepin(Tuning, Report):
    """Move a running guest's threads to where they are best now.

    Inside its NUMA cells it moves freely; to another cell only when its
    memory can follow (no strict numatune, no huge pages). The definition and
    the receipt are rewritten. Where only an exchange with other guests would
    help, it is named.
    """

    examples = (
        'kvm-tuning guest repin web1',
        'kvm-tuning guest repin web1 --cpus 8-15',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        complete.completed_by(
            parser.add_argument(
                'name', metavar='NAME', help='Name or UUID of the domain.'
            ),
            complete.guests,
        )
        parser.add_argument(
            '--cpus',
            metavar='CPUSET',
            help='Move its dedicated vCPUs to pCPUs of this list.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters import connection, repin
        from kvm_tuning.adapters.healing import proposed
        from kvm_tuning.cmd import change_report
        from kvm_tuning.core import cpuset
        from kvm_tuning.core.exceptions import Exhausted

        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            try:
                done = repin.repin(
                    libvirt,
                    conf,
                    loader.load(),
                    parsed_args.name,
                    parsed_args.cpus,
                )
            except Exhausted as error:
                found = proposed.propose(libvirt, conf, parsed_args.name)
                if found is None:
                    raise
                raise Exhausted(f'{error}; {found}') from error
            exchange = None
            if not done.moves and parsed_args.cpus is None:
                exchange = proposed.propose(libvirt, conf, parsed_args.name)
        if done.changed:
            self.changed(parsed_args)
        self.report_failures(done.steps)
        moves = Section(
            'Moved',
            ('thread', 'from', 'to'),
            [
                (
                    move.thread,
                    cpuset.format(move.before),
                    cpuset.format(move.pin.cpus),
                )
                for move in done.moves
            ],
        )
        count = len(done.moves)
        threads = '1 thread' if count == 1 else f'{count} threads'
        verdict = f'{done.guest}: {threads} moved'
        if done.away:
            verdict += (
                '; its memory follows only as far as the kernel moves it '
                '(kernel.numa_balancing)'
            )
        return Output(
            {
                'guest': done.guest,
                'changed': done.changed,
                'moves': [
                    dict(zip(moves.columns, row, strict=True))
                    for row in moves.rows
                ],
                'away': sorted(done.away),
                'pending': change_report.pending_rows(done.pending),
                'exchange': exchange and dataclasses.asdict(exchange),
            },
            (
                *([moves] if done.moves else []),
                *change_report.pending_sections(done.pending),
                Section(
                    '',
                    lines=(verdict, *([str(exchange)] if exchange else ())),
                ),
            ),
            main=moves,
        )


def _tuned(change: 'Change', whole: bool) -> Output:
    """Return what became of a guest that was tuned.

    :param whole: show the whole plan.
    """
    from kvm_tuning.cmd import change_report, plan_report

    plan = change.plan
    assert plan is not None
    lines = [change_report.verdict(change, 'tuned')]
    if change.changed and not whole:
        lines += [f'  {line}' for line in change_report.summary(plan)]
    return Output(
        change_report.document(change) | {'plan': plan_report.document(plan)},
        (
            *(plan_report.sections(plan) if whole else ()),
            *plan_report.outside(plan),
            *change_report.pending_sections(change.pending),
            Section('', lines=lines),
        ),
        main=plan_report.effects(plan),
    )


def _untuned(change: 'Change') -> Output:
    """Return what became of a guest whose tuning was undone."""
    from kvm_tuning.cmd import change_report

    foreign = Section(
        'Left as it is: somebody else has changed it since',
        ('address',),
        [(address,) for address in change.foreign],
    )
    verdict = change_report.verdict(change, 'untuned')
    return Output(
        change_report.document(change),
        (
            *([foreign] if change.foreign else []),
            *change_report.pending_sections(change.pending),
            Section('', lines=(verdict,)),
        ),
        main=foreign,
    )
