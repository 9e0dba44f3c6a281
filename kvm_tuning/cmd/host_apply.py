"""``kvm-tuning host plan``, ``apply`` and ``undo``."""

import argparse
from collections.abc import Sequence
import sys
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments, command, host_session
from kvm_tuning.cmd.command import Output, Report, Section, paragraph
from kvm_tuning.core.exceptions import WrongUsage

if TYPE_CHECKING:
    from kvm_tuning.host.prep import apply, undo

_COLUMNS = ('setting', 'is', 'will be', 'in force', 'why')
_UNDO_COLUMNS = ('setting', 'is', 'was', 'action')


class HostPlan(Report):
    """Show what apply would change, why, and what it interrupts."""

    examples = (
        'kvm-tuning host plan',
        'kvm-tuning host plan --root /tmp/other-host -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_root(parser)
        parser.add_argument(
            '--detailed-exit-codes',
            action='store_true',
            help='Exit with 4 when something would be changed.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        root = arguments.root(parsed_args)
        session = host_session.open_session(self.app.options, root)
        made = session.plan()
        # What lies below --root is not applied.
        obstacles = []
        if parsed_args.root is None:
            obstacles = host_session.obstacles(self.app.options)
        if made.refusals or made.unseen or obstacles:
            self.status = command.FOUND
        elif made.changes or made.mends:
            self.changed(parsed_args)
        return _plan_output(made, obstacles)


def _plan_output(made: 'apply.Plan', obstacles: list[str]) -> Output:
    changes: list[dict[str, Any]] = [
        {
            'setting': each.goal.label,
            'kind': each.goal.address[0],
            'name': each.goal.setting.name,
            'concern': each.goal.concern,
            'is': each.goal.found,
            'will_be': each.goal.setting.value,
            'by_way_of': list(each.route.via),
            'in_force': each.goal.when.value,
            'why': each.goal.reason,
            'interrupts': list(each.route.interrupts),
            'guests': list(each.route.guests),
            'refused': [str(refusal) for refusal in each.route.refusals],
            'overrules': each.overruled,
        }
        for each in made.changes
    ]
    mends = [entry.title for entry in made.mends]
    dropped = [entry.title for entry in made.dropped]
    main = Section(
        'Changes',
        _COLUMNS,
        [
            (
                each['setting'],
                host_session.short(each['is']),
                host_session.short(each['will_be']),
                each['in_force'],
                each['why'],
            )
            for each in changes
        ],
        lines=() if changes else ('nothing is to be changed',),
    )
    sections = [main]
    for title, lines in (
        ('Interrupts', _effects(changes, 'interrupts')),
        ('Guests touched', _effects(changes, 'guests')),
        ('Apply would not start', obstacles),
        ('Refused', list(map(str, made.refusals))),
        ('Cannot be seen', list(map(str, made.unseen))),
        ('Interrupted before, taken back', mends),
        ('Ours, and no longer wanted (host undo --dropped)', dropped),
        ('Notes', list(map(str, made.notes))),
    ):
        if lines:
            sections.append(Section(title, lines=list(map(paragraph, lines))))
    return Output(
        {
            'changes': changes,
            'obstacles': obstacles,
            'refusals': [str(refusal) for refusal in made.refusals],
            'unseen': [str(item) for item in made.unseen],
            'mends': mends,
            'dropped': dropped,
            'notes': [str(note) for note in made.notes],
        },
        tuple(sections),
        main=main,
    )


def _effects(changes: Sequence[dict[str, Any]], key: str) -> list[str]:
    return [
        f'{change["setting"]}: {text}'
        for change in changes
        for text in change[key]
    ]


class HostApply(Report):
    """Make what is configured; return what was changed."""

    examples = (
        'kvm-tuning host apply',
        'kvm-tuning host apply --keep-going --wait 30',
        'kvm-tuning-host-prep --detailed-exit-codes',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_detailed(parser)
        parser.add_argument(
            '--keep-going',
            action='store_true',
            help=(
                'Make what is not refused, and keep what was made when '
                'something fails. Without it a refusal stops everything '
                'before the first write, and a failure takes all back.'
            ),
        )
        parser.add_argument(
            '--wait',
            metavar='SECONDS',
            type=float,
            default=0.0,
            help=(
                'Wait so long for devices that are configured to appear, and '
                'for another run to end.'
            ),
        )
        parser.add_argument(
            '--unless-undone',
            action='store_true',
            help=(
                'Do nothing where host undo has been run since the last '
                'apply or boot: for devices that appear, as they do when an '
                'undo reloads their driver.'
            ),
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        outcome = host_session.apply(
            self.app.options,
            parsed_args.keep_going,
            parsed_args.wait,
            parsed_args.wait,
            parsed_args.unless_undone,
        )
        self.status = _status(outcome)
        if outcome.changed and self.status == command.SUCCESS:
            self.changed(parsed_args)
        return _outcome_output(outcome, 'Changed')


class HostUndo(Report):
    """Restore what apply has changed, as it was before."""

    examples = (
        'kvm-tuning host undo',
        'kvm-tuning host undo --dry-run',
        'kvm-tuning host undo --dropped',
        'kvm-tuning host undo ksm huge_pages',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_detailed(parser)
        parser.add_argument(
            'groups',
            metavar='GROUP',
            nargs='*',
            help='Only these groups of settings, such as ksm or sriov.',
        )
        parser.add_argument(
            '--dropped',
            action='store_true',
            help='Only what the configuration no longer wants.',
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='Show what would be done, and do nothing.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.host.prep import apply, undo, undone

        if parsed_args.dry_run:
            session = self._session(parsed_args)
            for note in session.notes:
                self.say(note)
            chosen = _chosen(session, parsed_args)
            steps = undo.plan(session.context(), chosen)
            if any(step.action == 'refuse' for step in steps):
                self.status = command.FOUND
            return _steps_output(steps)
        with host_session.locked():
            session = self._session(parsed_args, changing=True)
            chosen = _chosen(session, parsed_args)
            if not parsed_args.dropped:
                undone.begin(host_session.system(host_session.ROOT))
            apply.resume(session.context())
            outcome = undo.undo(session.context(), chosen)
        outcome.notes[:0] = session.notes
        self.status = _status(outcome)
        if outcome.changed and self.status == command.SUCCESS:
            self.changed(parsed_args)
        return _outcome_output(outcome, 'Restored')

    def _session(
        self, parsed_args: argparse.Namespace, changing: bool = False
    ) -> host_session.Session:
        if parsed_args.dropped:
            # Only a valid configuration says what it no longer wants.
            return host_session.open_session(
                self.app.options,
                host_session.ROOT,
                changing=changing,
                tolerant=True,
            )
        return host_session.open_for_undo(
            self.app.options, changing, tolerant=True
        )


def _chosen(
    session: host_session.Session, parsed_args: argparse.Namespace
) -> Any:
    groups = set(parsed_args.groups)
    unknown = groups - {entry.concern for entry in session.journal}
    if unknown:
        raise WrongUsage(
            f'the journal has nothing of {", ".join(sorted(unknown))}'
        )
    dropped = None
    if parsed_args.dropped:
        dropped = {entry.address for entry in session.plan().dropped}
    return lambda entry: (
        (not groups or entry.concern in groups)
        and (dropped is None or entry.address in dropped)
    )


def _status(outcome: 'apply.Outcome') -> int:
    if len(outcome.failed) > len(outcome.refused):
        return command.INCOMPLETE
    return command.FOUND if outcome.refused else command.SUCCESS


def _outcome_output(outcome: 'apply.Outcome', title: str) -> Output:
    main = Section(
        title,
        ('setting',),
        [(label,) for label in outcome.changed],
        lines=() if outcome.changed else ('nothing',),
    )
    sections = [main]
    for name, lines in (
        ('Failed or refused', outcome.failed),
        ('Taken back after that', outcome.taken_back),
        ('Notes', outcome.notes),
    ):
        if lines:
            sections.append(Section(name, lines=list(map(paragraph, lines))))
    return Output(
        {
            title.lower(): outcome.changed,
            'failed': outcome.failed,
            'taken_back': outcome.taken_back,
            'notes': outcome.notes,
        },
        tuple(sections),
        main=main,
    )


def _steps_output(steps: 'Sequence[undo.Step]') -> Output:
    rows = [
        (step.entry.title, step.found, step.entry.before, step.action)
        for step in steps
    ]
    main = Section('Undo', _UNDO_COLUMNS, rows, lines=())
    reasons = [
        f'{step.entry.title}: {step.reason}' for step in steps if step.reason
    ]
    return Output(
        [
            dict(zip(_UNDO_COLUMNS, row, strict=True))
            | {'reason': step.reason}
            for row, step in zip(rows, steps, strict=True)
        ],
        (main, Section('', lines=list(map(paragraph, reasons)))),
        main=main,
    )


def main() -> int:
    """Run ``kvm-tuning host apply`` (the script kvm-tuning-host-prep)."""
    from kvm_tuning.cmd import main as application

    return application.main(['host', 'apply', *sys.argv[1:]])
