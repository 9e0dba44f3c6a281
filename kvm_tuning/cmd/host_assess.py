"""``kvm-tuning host assess``: what a host and all of its guests lose."""

import argparse
from collections.abc import Iterator, Sequence

from kvm_tuning.cmd import arguments, assess_report, guest_assess
from kvm_tuning.cmd.command import Output, Report, Section
from kvm_tuning.core.assess.finding import Finding


class HostAssess(Report):
    """Say what this host and each of its guests lose, and sum it up.

    The host itself: what it does not have of its configuration, and what all
    guests lose by how it is set. Then each guest, as "guest assess" does.
    Exits with 1 when there is a finding as bad as --fail-on says.
    """

    examples = (
        'kvm-tuning host assess',
        'kvm-tuning host assess --fail-on warning -f json',
        'kvm-tuning host assess --root /tmp/other-host --domains xml',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        guest_assess.add_options(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import assessment

        root = arguments.root(parsed_args)
        conf = arguments.configuration(self.app.options, root)
        host = assessment.of_host(root, conf)
        guests = guest_assess.run(self, parsed_args, conf).guests
        everything = [*host, *(f for each in guests for f in each.findings)]
        self.status = guest_assess.status(everything, parsed_args.fail_on)
        lines = tuple(assess_report.lines_of(host)) or ('nothing found',)
        return Output(
            {
                'host': [assess_report.plain(each) for each in host],
                'guests': assess_report.document(guests),
                'codes': assess_report.codes(everything),
            },
            (
                Section('Host', lines=lines),
                *assess_report.sections(guests),
                *_sums(everything),
            ),
            Section(
                '',
                assess_report.COLUMNS,
                [
                    *assess_report.host_rows(host),
                    *assess_report.rows(guests),
                ],
            ),
        )


def _sums(findings: Sequence[Finding]) -> Iterator[Section]:
    """Yield a table of how often each code was found, if any was."""
    sums = [tuple(each.values()) for each in assess_report.codes(findings)]
    if sums:
        yield Section('By code', assess_report.SUMS, sums)
