"""``kvm-tuning host rebalance``: guests moved to where they belong."""

import argparse
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments, files, host_map
from kvm_tuning.cmd.command import FOUND, Output, Report
from kvm_tuning.cmd.several_guests import Tuning
from kvm_tuning.core.exceptions import WrongUsage

if TYPE_CHECKING:
    from oslo_config import cfg

    from kvm_tuning.adapters.healing.planned import Limits, Planned
    from kvm_tuning.core.healing.occupants import Choice
    from kvm_tuning.host.guests.exchange_journal import Exchange


class HostRebalance(Tuning, Report):
    """Exchange pCPUs between running guests, so that each is close together.

    Inside a NUMA cell dedicated pCPUs can be exchanged between running
    guests: no memory moves. Guests come into fewer L3 domains, and fewer of
    them share a core. "Nothing is worth moving" is an answer, too. All of it
    is done or nothing; definitions and receipts are rewritten, and the guests
    that have moved are audited: exits with 1 when a promise is broken.
    """

    examples = (
        'kvm-tuning host rebalance --dry-run',
        'kvm-tuning host rebalance --budget 25% --keep db1',
        'kvm-tuning host rebalance --undo',
        'kvm-tuning host rebalance --dry-run --root /tmp/host --domains xml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            '--dry-run',
            action='store_true',
            help='Show the plan, and change nothing.',
        )
        what.add_argument(
            '--resume',
            action='store_true',
            help='Finish an exchange that was interrupted.',
        )
        what.add_argument(
            '--undo',
            action='store_true',
            help=(
                'Take back the exchange that was interrupted, or else what '
                'still holds of the last one.'
            ),
        )
        what.add_argument(
            '--history',
            action='store_true',
            help='Show the exchanges that were made.',
        )
        add_limits(parser)
        parser.add_argument(
            '--guests',
            metavar='NAME',
            action='extend',
            nargs='+',
            default=[],
            help='Only these take part; all others stay.',
        )
        parser.add_argument(
            '--keep',
            metavar='NAME',
            action='extend',
            nargs='+',
            default=[],
            help='These stay where they are.',
        )
        parser.add_argument(
            '--include-untuned',
            action='store_true',
            help=(
                'Take in guests that were never tuned but are pinned one to '
                'one: their definitions get a receipt.'
            ),
        )
        arguments.add_root(parser)
        parser.add_argument(
            '--domains',
            metavar='DIR',
            help=(
                'Take the live XML of guests from the .xml files in this '
                'directory (virsh dumpxml); goes with --dry-run.'
            ),
        )
        host_map.add_output(
            parser,
            '--map',
            'Draw the host before and after into FILE.svg or FILE.html; goes '
            'with --dry-run.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.cmd import rebalance_report

        captured = parsed_args.root or parsed_args.domains
        if captured and not (parsed_args.dry_run and parsed_args.domains):
            raise WrongUsage(
                '--root and --domains plan for a host that was captured: '
                'give both with --dry-run'
            )
        if parsed_args.map and not parsed_args.dry_run:
            raise WrongUsage('--map draws a plan: give it with --dry-run')
        if parsed_args.history:
            return rebalance_report.history(history())
        conf = arguments.configuration(
            self.app.options, arguments.root(parsed_args)
        )
        if parsed_args.dry_run:
            made = self._planned(parsed_args, conf)
            if parsed_args.map:
                from kvm_tuning.cmd.drawing import healing

                pictures = healing.pictures(made)
                host_map.show(self, parsed_args.map, pictures)
            return rebalance_report.output(made)
        return self._change(parsed_args, conf)

    def _change(
        self, parsed_args: argparse.Namespace, conf: 'cfg.ConfigOpts'
    ) -> Output:
        from kvm_tuning.adapters import connection
        from kvm_tuning.adapters.healing import apply
        from kvm_tuning.cmd import rebalance_report

        made = None
        uri = parsed_args.connect or conf.libvirt.uri
        with connection.open(uri) as libvirt:
            host = apply.Host(libvirt, conf)
            if parsed_args.resume:
                done = apply.resume(host)
            elif parsed_args.undo:
                done = apply.undo(host)
            else:
                made, done = apply.apply(
                    host, _choice(parsed_args), _limits(parsed_args)
                )
            broken = apply.broken(host, done)
        if done.exchange is not None:
            self.changed(parsed_args)
        self.report_failures(done.steps)
        if broken:
            self.status = FOUND
        return rebalance_report.done(done, broken, made)

    def _planned(
        self, parsed_args: argparse.Namespace, conf: 'cfg.ConfigOpts'
    ) -> 'Planned':
        from kvm_tuning.adapters import connection
        from kvm_tuning.adapters.healing import planned
        from kvm_tuning.host.guests import exchange_journal

        choice, limits = _choice(parsed_args), _limits(parsed_args)
        if parsed_args.domains is not None:
            records, notes = files.domains(parsed_args.domains)
            for note in notes:
                self.say(f'note: {note}')
            root = arguments.root(parsed_args)
            return planned.make(records, conf, choice, limits, root)
        exchange_journal.check_closed('/')
        uri = parsed_args.connect or conf.libvirt.uri
        with connection.open(uri, read_only=True) as libvirt:
            choice = planned.without(choice, libvirt.busy())
            return planned.make(libvirt.records(), conf, choice, limits)


def history() -> 'list[Exchange]':
    """Return the exchanges of this host, the oldest first."""
    from kvm_tuning.host.access.system import System
    from kvm_tuning.host.guests import exchange_journal

    return exchange_journal.history(System())


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add how much may move, and for what."""
    parser.add_argument(
        '--budget',
        type=_share,
        metavar='PERCENT',
        help='Move at most so many of the dedicated vCPUs, such as 25%%.',
    )
    parser.add_argument(
        '--least-gain',
        type=float,
        default=0.0,
        metavar='N',
        help=(
            'Leave a guest alone that would win less than N L3 domains '
            'for each vCPU that moves.'
        ),
    )


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix('%')) / 100
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(
            f'want a percentage from 0% to 100%, not {text!r}'
        )
    return share


def _choice(parsed_args: argparse.Namespace) -> 'Choice':
    from kvm_tuning.core.healing.occupants import Choice

    return Choice(
        frozenset(parsed_args.guests),
        frozenset(parsed_args.keep),
        parsed_args.include_untuned,
        captured=parsed_args.domains is not None,
    )


def _limits(parsed_args: argparse.Namespace) -> 'Limits':
    from kvm_tuning.adapters.healing.planned import Limits

    return Limits(parsed_args.budget, parsed_args.least_gain)
