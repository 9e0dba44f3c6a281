"""``kvm-tuning nova rebalance``: what an exchange would win on a host."""

import argparse

from kvm_tuning.cmd import host_rebalance
from kvm_tuning.cmd.command import Output, Report
from kvm_tuning.core.exceptions import CloudFailed, WrongUsage


class NovaRebalance(Report):
    """Ask the nova-compute of a host which servers should exchange pCPUs.

    It plans on its records as they are, and changes nothing: only --dry-run
    is there so far. Run it where Nova is installed and configured for the
    cell of the host, such as a controller.
    """

    examples = (
        'kvm-tuning nova rebalance compute1 --dry-run',
        'kvm-tuning nova rebalance compute1 --dry-run --budget 25% -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'host',
            metavar='HOST',
            help='As openstack compute service list has it.',
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='Show the plan, and change nothing.',
        )
        host_rebalance.add_limits(parser)
        parser.add_argument(
            '--config-file',
            metavar='FILE',
            action='append',
            default=[],
            help='nova.conf of the cell; else where Nova looks for it.',
        )
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        if not parsed_args.dry_run:
            raise WrongUsage(
                'nova-compute plans, and moves nothing so far: give --dry-run'
            )
        try:
            from kvm_tuning.adapters.nova import remote
        except ImportError as error:
            raise CloudFailed(
                f'Nova cannot be imported here ({error}): run it in the '
                f'environment of a Nova service'
            ) from error
        from kvm_tuning.cmd import rebalance_report

        remote.connect(parsed_args.config_file)
        found = remote.plan(
            parsed_args.host, parsed_args.budget, parsed_args.least_gain
        )
        return rebalance_report.shown(found)
