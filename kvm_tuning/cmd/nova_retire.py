"""``kvm-tuning nova retire``: clean placement up after an uninstall."""

import argparse

from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.cmd.flavor_compile import add_cloud

COLUMNS = ('resource provider', 'trait')


class NovaRetire(Report):
    """Remove this package's traits from placement.

    For an uninstall: first set compute_driver back on every host, as a
    nova-compute with our driver sets its traits again.
    """

    examples = (
        'kvm-tuning nova retire --os-cloud mycloud --dry-run',
        'kvm-tuning nova retire --os-cloud mycloud',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_cloud(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import cloud
        from kvm_tuning.core import compiled

        connection = cloud.connect(parsed_args.os_cloud)
        rows = cloud.retire(connection, compiled.TRAITS, parsed_args.dry_run)
        verb = 'would be removed' if parsed_args.dry_run else 'removed'
        return Output(
            [
                dict(zip(('provider', 'trait'), row, strict=True))
                for row in rows
            ],
            (Section('', COLUMNS, rows, lines=(f'{len(rows)} {verb}',)),),
        )
