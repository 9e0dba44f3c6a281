"""``kvm-tuning guest assess``: what running guests lose, tuned or not."""

import argparse
from collections.abc import Sequence
import time
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments, files
from kvm_tuning.cmd.command import (
    FOUND,
    SUCCESS,
    Command,
    Output,
    Report,
    Section,
)
from kvm_tuning.core.exceptions import LibvirtFailed

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.assessment import Assessment, How
    from kvm_tuning.core.assess.finding import Finding
    from kvm_tuning.core.claims import Record

#: Between two samples. A tick of CPU time is a hundredth of it.
SECONDS = 1.0
_MOST_SECONDS = 3600.0
#: Between two rounds of --watch, the time between samples not counted.
_PAUSE_SECONDS = 1.0
#: Puts the cursor home and clears the terminal (ECMA-48: CUP, ED).
_CLEAR = '\x1b[H\x1b[2J'


class GuestAssess(Report):
    """Say what running guests lose by how they are set up and placed.

    Any QEMU guest, tuned or not. Each finding has what was counted, what
    would change it and what that costs; what cannot be seen is "unknown", with
    what it takes. Most of it needs root rights. Exits with 1 when there is a
    finding as bad as --fail-on says.
    """

    examples = (
        'kvm-tuning guest assess',
        'kvm-tuning guest assess web1 --seconds 10 -f json',
        'kvm-tuning guest assess web1 --watch',
        'kvm-tuning guest assess --no-libvirt',
        'kvm-tuning guest assess --root /tmp/other-host --domains xml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'names',
            metavar='NAME',
            nargs='*',
            help='Name, UUID or pid of a guest; several are possible.',
        )
        parser.add_argument(
            '--watch',
            action='store_true',
            help=(
                'Repeat it until it is interrupted, on a cleared terminal; '
                "no guest's page tables are walked."
            ),
        )
        add_options(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        if not parsed_args.watch:
            return super().run(parsed_args)
        parsed_args.no_page_tables = True
        try:
            while True:
                if self.app.stdout.isatty():
                    self.app.stdout.write(_CLEAR)
                status = super().run(parsed_args)
                if status not in (SUCCESS, FOUND):
                    return status
                self.app.stdout.flush()
                time.sleep(_PAUSE_SECONDS)
        except KeyboardInterrupt:
            return SUCCESS

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.cmd import assess_report

        conf = arguments.configuration(
            self.app.options, arguments.root(parsed_args)
        )
        found = run(self, parsed_args, conf, parsed_args.names)
        self.status = status(
            [f for each in found.guests for f in each.findings],
            parsed_args.fail_on,
        )
        return Output(
            {'guests': assess_report.document(found.guests)},
            tuple(assess_report.sections(found.guests)),
            Section(
                '', assess_report.COLUMNS, assess_report.rows(found.guests)
            ),
        )


def add_guests(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the guests come from."""
    arguments.add_root(parser)
    parser.add_argument(
        '--domains',
        metavar='DIR',
        help=(
            'Take the live XML of guests (virsh dumpxml) from the .xml files '
            'of this directory instead of from libvirt.'
        ),
    )
    parser.add_argument(
        '--no-libvirt',
        action='store_true',
        help='Look at /proc alone; guests are set up as QEMU was started.',
    )
    arguments.add_connect(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which guests are looked at, and how."""
    add_guests(parser)
    parser.add_argument(
        '--seconds',
        type=_seconds,
        default=SECONDS,
        help=(
            'Time between the two samples of what threads do (default: 1); '
            '0: take one.'
        ),
    )
    parser.add_argument(
        '--no-page-tables',
        action='store_true',
        help=(
            "Leave memory unknown where only a walk of the guest's page "
            'tables would tell: it holds up the guest for a moment.'
        ),
    )
    parser.add_argument(
        '--fail-on',
        choices=('info', 'warning', 'error'),
        default='error',
        help='Exit with 1 from here on (default: error).',
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f'want a number of seconds from 0 to {_MOST_SECONDS:g}, '
            f'not {text!r}'
        )
    return seconds


def run(
    command: Command,
    parsed_args: argparse.Namespace,
    conf: 'cfg.ConfigOpts',
    names: Sequence[str] = (),
) -> 'Assessment':
    """Return the assessment that the options ask for.

    :raises LibvirtFailed: libvirt does not answer.
    :raises WrongUsage: there is no such guest or directory.
    """
    from kvm_tuning.adapters import assessment

    return assessment.assessment(
        records(command, parsed_args, conf), how(parsed_args), names
    )


def how(parsed_args: argparse.Namespace) -> 'How':
    """Return how guests are to be looked at."""
    import os

    from kvm_tuning.adapters.assessment import How

    root = arguments.root(parsed_args)
    # Nothing moves in files of another host.
    live = os.path.realpath(root) == '/'
    return How(
        root,
        parsed_args.seconds if live else 0,
        not parsed_args.no_page_tables,
    )


def records(
    command: Command, parsed_args: argparse.Namespace, conf: 'cfg.ConfigOpts'
) -> list['Record']:
    """Return the guests that libvirt, or a directory, has.

    :raises LibvirtFailed: libvirt does not answer.
    :raises WrongUsage: the directory cannot be read.
    """
    if parsed_args.domains is not None:
        found, notes = files.domains(parsed_args.domains)
        for note in notes:
            command.say(f'note: {note}')
        return found
    if parsed_args.no_libvirt or parsed_args.root is not None:
        return []
    from kvm_tuning.adapters import connection

    uri = parsed_args.connect or conf.libvirt.uri
    try:
        with connection.open(uri, read_only=True) as libvirt:
            return libvirt.records()
    except LibvirtFailed as error:
        raise LibvirtFailed(
            f'{error}; --no-libvirt looks at the QEMU processes alone'
        ) from error


def status(findings: Sequence['Finding'], level: str) -> int:
    """Return the exit status for findings."""
    order = ('info', 'warning', 'error')
    failing = order[order.index(level) :]
    return FOUND if any(f.severity.value in failing for f in findings) else 0
