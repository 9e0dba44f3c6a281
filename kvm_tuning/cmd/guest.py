"""``kvm-tuning guest``: tune, start and move guests of this host."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import (
    INCOMPLETE,
    Command,
    Output,
    Report,
    Section,
)

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.standalone import Change
    from kvm_tuning.core.audit.restart import Pending
    from kvm_tuning.host.guests.settings import Step

_PENDING = ('address', 'running', 'defined')


class _OnGuest(Command):
    """A command that works on one guest of libvirt."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'name', metavar='NAME', help='Name or UUID of the domain.'
        )
        arguments.add_connect(parser)
        arguments.add_detailed(parser)
        return parser

    def configured(
        self, parsed_args: argparse.Namespace
    ) -> 'tuple[cfg.ConfigOpts, str]':
        """Return the configuration and the URI of libvirt."""
        conf = arguments.configuration(self.app.options)
        return conf, parsed_args.connect or conf.libvirt.uri

    def report_failures(self, steps: 'Sequence[Step]') -> None:
        """Report which settings outside of the definition failed."""
        for step in steps:
            if step.result.value == 'failed':
                self.say(f'{step.kind} {step.name}: {step.detail}')
                self.status = INCOMPLETE


class GuestTune(_OnGuest, Report):
    """Plan a guest and rewrite its definition.

    All or nothing: a promise that cannot be kept changes nothing. The
    parts that a running guest gets only after a restart are listed.
    """

    examples = (
        'kvm-tuning guest tune web1 --flavor perf.json',
        'kvm-tuning guest tune web1 --flavor perf.json --image debian.yaml '
        '--detailed-exit-codes',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_request(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters import connection, standalone
        from kvm_tuning.adapters.trial import judge
        from kvm_tuning.cmd import plan_report, requests

        conf, uri = self.configured(parsed_args)
        hooks = loader.load()
        request = requests.read(parsed_args, hooks, conf)
        with (
            connection.open(uri) as libvirt,
            judge.of_host(uri, libvirt.versions()[0]) as libvirts,
        ):
            change = standalone.tune(
                libvirt,
                conf,
                hooks,
                request,
                parsed_args.name,
                judge=libvirts,
            )
        assert change.plan is not None
        if change.changed:
            self.changed(parsed_args)
        return Output(
            _change_document(change)
            | {'plan': plan_report.document(change.plan)},
            (
                *plan_report.sections(change.plan),
                *plan_report.outside(change.plan),
                *_pending_sections(change.pending),
                Section('', lines=(_verdict(change, 'tuned'),)),
            ),
            main=plan_report.effects(change.plan),
        )


class GuestUndo(_OnGuest, Report):
    """Take the tuning of a guest's definition back.

    The former values are restored; what somebody else has changed since
    stays, and is listed.
    """

    examples = ('kvm-tuning guest undo web1',)

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import connection, standalone

        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            change = standalone.undo(libvirt, conf, parsed_args.name)
        if change.changed:
            self.changed(parsed_args)
        foreign = Section(
            'Left as it is: somebody else has changed it since',
            ('address',),
            [(address,) for address in change.foreign],
        )
        return Output(
            _change_document(change),
            (
                *([foreign] if change.foreign else []),
                *_pending_sections(change.pending),
                Section('', lines=(_verdict(change, 'untuned'),)),
            ),
            main=foreign,
        )


class GuestStart(_OnGuest):
    """Start a guest, unless another one has what was promised to it.

    Its VFs get their attributes before, its vhost threads their pCPUs after
    the start. Exits with 3 when the guest runs and the latter failed.
    """

    examples = ('kvm-tuning guest start web1',)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from kvm_tuning.adapters import connection, starting

        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            done = starting.start(libvirt, conf, parsed_args.name)
        if done.started:
            self.changed(parsed_args)
        word = 'started' if done.started else 'runs already'
        self.app.stdout.write(f'{parsed_args.name}: {word}\n')
        self.report_failures(done.steps)
        return self.status


class GuestRepin(_OnGuest, Report):
    """Move a running guest's threads to where they are best now.

    Inside its NUMA cells it moves freely; to another cell only when its
    memory can follow (no strict numatune, no huge pages). The definition and
    the receipt are rewritten.
    """

    examples = (
        'kvm-tuning guest repin web1',
        'kvm-tuning guest repin web1 --cpus 8-15',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--cpus',
            metavar='CPUSET',
            help='Move its dedicated vCPUs to pCPUs of this list.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning import loader
        from kvm_tuning.adapters import connection, repin
        from kvm_tuning.core import cpuset

        conf, uri = self.configured(parsed_args)
        with connection.open(uri) as libvirt:
            done = repin.repin(
                libvirt,
                conf,
                loader.load(),
                parsed_args.name,
                parsed_args.cpus,
            )
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
                'pending': _pending_rows(done.pending),
            },
            (
                *([moves] if done.moves else []),
                *_pending_sections(done.pending),
                Section('', lines=(verdict,)),
            ),
            main=moves,
        )


def _change_document(change: 'Change') -> dict[str, Any]:
    return {
        'guest': change.guest,
        'changed': change.changed,
        'running': change.running,
        'foreign': list(change.foreign),
        'pending': _pending_rows(change.pending),
    }


def _pending_rows(pending: Sequence['Pending']) -> list[dict[str, str]]:
    return [
        dict(zip(_PENDING, (p.address, p.running, p.defined), strict=True))
        for p in pending
    ]


def _pending_sections(pending: Sequence['Pending']) -> list[Section]:
    if not pending:
        return []
    return [
        Section(
            'Needs a restart: the running guest has it otherwise',
            _PENDING,
            [(p.address, p.running, p.defined) for p in pending],
        )
    ]


def _verdict(change: 'Change', done: str) -> str:
    if not change.changed:
        return f'{change.guest}: nothing to change'
    restart = ', restart it' if change.pending else ''
    return f'{change.guest}: {done}{restart}'
