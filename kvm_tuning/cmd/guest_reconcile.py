"""``kvm-tuning guest reconcile``: restore what definitions do not hold."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import INCOMPLETE, Output, Report, Section
from kvm_tuning.core.exceptions import WrongUsage

if TYPE_CHECKING:
    from kvm_tuning.host.guests.settings import Step

COLUMNS = ('guest', 'kind', 'name', 'value', 'result', 'detail')


class GuestReconcile(Report):
    """Make what was promised to guests outside of their definition.

    The pCPUs of vhost threads and the attributes of VFs are not part of a
    domain: they are made for running guests, however these were started, and
    VFs of guests that have ended get back what they had. Without a name: all
    running guests. Exits with 3 when one of them could not be made.
    """

    examples = (
        'kvm-tuning guest reconcile',
        'kvm-tuning guest reconcile web1 --detailed-exit-codes',
        'kvm-tuning guest reconcile --queue /run/kvm-tuning/queue',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_names(parser)
        parser.add_argument(
            '--queue',
            metavar='DIR',
            help=(
                "Take the guests of which libvirt's hook script has written "
                'events here (see host hooks install), and remove the events.'
            ),
        )
        arguments.add_connect(parser)
        arguments.add_detailed(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import connection, reconcile
        from kvm_tuning.host.guests.settings import Result

        if parsed_args.names and parsed_args.queue is not None:
            raise WrongUsage('give names or --queue, not both')
        conf = arguments.configuration(self.app.options)
        uri = parsed_args.connect or conf.libvirt.uri
        with connection.open(uri, read_only=True) as libvirt:
            steps = reconcile.reconcile(
                libvirt, conf, parsed_args.names, parsed_args.queue
            )
        results = {step.result for step in steps}
        if results & {Result.SET, Result.RESTORED}:
            self.changed(parsed_args)
        if Result.FAILED in results:
            self.status = INCOMPLETE
        return _output(steps)


def _output(steps: 'Sequence[Step]') -> Output:
    rows = [
        (s.guest, s.kind, s.name, s.value, s.result.value, s.detail)
        for s in steps
    ]
    table = Section(
        '', COLUMNS, rows, lines=() if rows else ('nothing to make',)
    )
    return Output(
        {'steps': [dict(zip(COLUMNS, row, strict=True)) for row in rows]},
        (table,),
        main=table,
    )
