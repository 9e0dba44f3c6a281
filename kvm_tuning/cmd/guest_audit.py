"""``kvm-tuning guest audit``: compare promises with what guests have."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.cmd.command import FOUND, INCOMPLETE, Output, Report, Section
from kvm_tuning.core.audit.finding import Finding, Severity

if TYPE_CHECKING:
    from kvm_tuning.adapters.audit import Audited

COLUMNS = ('guest', 'verdict', 'address', 'promised', 'found', 'why')
#: The columns of the guests.
GUESTS = ('guest', 'state', 'verdict', 'findings')


class GuestAudit(Report):
    """Compare what was promised to guests with what they really have.

    Without a name: all guests that were tuned. Shows a line for each guest,
    and what is not as promised. Exits with 1 when there is a finding as bad
    as --fail-on says, with 3 when a running guest could not be looked at.
    What could not be known is "unknown", never fine; most of it needs root
    rights.
    """

    examples = (
        'kvm-tuning guest audit',
        'kvm-tuning guest audit web1 --all',
        'kvm-tuning guest audit web1 --fail-on warning -f json',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        arguments.add_names(parser)
        parser.add_argument(
            '--all',
            action='store_true',
            help='Show what is as promised, too; other formats always do.',
        )
        parser.add_argument(
            '--fail-on',
            choices=('warning', 'error'),
            default='error',
            help='Exit with 1 from here on (default: error).',
        )
        parser.add_argument(
            '--monitor',
            action='store_true',
            help=(
                "Ask QEMU itself, too, by libvirt's monitor passthrough: "
                'libvirt marks the running guest as tainted for that.'
            ),
        )
        arguments.add_connect(parser)
        return parser

    def report(self, parsed_args: argparse.Namespace) -> Output:
        from kvm_tuning.adapters import audit, connection

        conf = arguments.configuration(self.app.options)
        uri = parsed_args.connect or conf.libvirt.uri
        # Monitor passthrough needs a connection that may write.
        with connection.open(
            uri, read_only=not parsed_args.monitor
        ) as libvirt:
            found = audit.audit(
                libvirt, conf, parsed_args.names, parsed_args.monitor
            )
        if parsed_args.monitor:
            self.say('note: --monitor taints the domains it asks')
        findings = [finding for each in found for finding in each.findings]
        if any(_fails(each, parsed_args.fail_on) for each in findings):
            self.status = FOUND
        elif any(each.code == audit.NOT_OBSERVED for each in findings):
            self.status = INCOMPLETE
        return Output(
            _document(found),
            tuple(_sections(found, parsed_args.all)),
            main=_rows(found),
        )


def _fails(finding: Finding, level: str) -> bool:
    severity = finding.severity.value
    return severity == 'error' or (
        level == 'warning' and severity == 'warning'
    )


def _row(guest: str, finding: Finding) -> tuple[str, ...]:
    return (
        guest,
        finding.severity.value,
        finding.address,
        finding.wanted,
        finding.found,
        finding.why,
    )


def _rows(found: Sequence['Audited']) -> Section:
    """Return all findings as a table."""
    rows = [
        _row(each.guest, finding)
        for each in found
        for finding in each.findings
    ]
    return Section('', COLUMNS, rows)


def _sections(
    found: Sequence['Audited'], everything: bool
) -> Iterator[Section]:
    """Yield a table of the guests, then the findings of each."""
    if not found:
        yield Section('', lines=('no guest was tuned',))
        return
    yield Section('', GUESTS, [_guest(each) for each in found])
    for each in found:
        lines = _lines(each.findings, everything)
        if lines:
            yield Section(f'Guest {each.guest}', lines=lines)


def _guest(each: 'Audited') -> tuple[str, ...]:
    severities = [finding.severity for finding in each.findings]
    worst = max(severities, key=list(Severity).index, default=Severity.OK)
    return (
        each.guest,
        'running' if each.running else 'stopped',
        worst.value,
        _count(each.findings),
    )


def _lines(findings: Sequence[Finding], everything: bool) -> list[str]:
    """Return the findings, the worst first, grouped by what they mean."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        if everything or finding.severity is not Severity.OK:
            ok = finding.severity is Severity.OK
            key = (finding.severity, 'as promised' if ok else finding.why)
            groups.setdefault(key, []).append(finding)
    order = list(Severity)
    lines = []
    for severity, why in sorted(
        groups, key=lambda key: order.index(key[0]), reverse=True
    ):
        lines.append(f'- {severity.value}: {why}')
        lines += [f'    {_says(each)}' for each in groups[severity, why]]
    return lines


def _says(finding: Finding) -> str:
    if not finding.wanted:
        return f'{finding.address}: {finding.found}'
    return (
        f'{finding.address}: promised {finding.wanted}, '
        f'found {finding.found or "nothing"}'
    )


def _count(findings: Sequence[Finding]) -> str:
    counts: dict[str, int] = {}
    for finding in findings:
        word = finding.severity.value
        counts[word] = counts.get(word, 0) + 1
    return (
        ', '.join(f'{count} {word}' for word, count in sorted(counts.items()))
        or 'nothing was promised'
    )


def _document(found: Sequence['Audited']) -> dict[str, Any]:
    return {
        'guests': [
            {
                'guest': each.guest,
                'running': each.running,
                'findings': [
                    {
                        'severity': finding.severity.value,
                        'code': finding.code,
                        'address': finding.address,
                        'promised': finding.wanted,
                        'found': finding.found,
                        'why': finding.why,
                    }
                    for finding in each.findings
                ],
            }
            for each in found
        ]
    }
