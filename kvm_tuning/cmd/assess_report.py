"""Render an assessment for people and for programs."""

from collections.abc import Iterable, Iterator, Sequence
import textwrap
from typing import Any

from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.finding import Finding, Severity

#: The columns of :func:`rows`.
COLUMNS = (
    'guest', 'severity', 'code', 'evidence', 'change', 'cost', 'needs', 'page',
)  # fmt: skip
_WIDTH = 79
#: Of the column of severities, and of the two before the text.
_SEVERITY, _CODE = 9, 24


def rows(guests: Iterable[Assessed]) -> list[tuple[str, ...]]:
    """Return one row a finding."""
    return [
        (each.guest.setup.name, *map(str, _facts(finding).values()))
        for each in guests
        for finding in each.findings
    ]


def document(guests: Iterable[Assessed]) -> list[dict[str, Any]]:
    """Return guests and their findings as plain data."""
    return [
        {
            'guest': each.guest.setup.name,
            'uuid': each.guest.setup.uuid,
            'pid': each.guest.pid,
            'vcpus': each.guest.setup.vcpus,
            'memory_mib': each.guest.setup.memory_kib >> 10,
            'findings': [
                {**_facts(finding), **_where(finding)}
                for finding in each.findings
            ],
        }
        for each in guests
    ]


def _facts(finding: Finding) -> dict[str, str]:
    about = finding.about
    return {
        'severity': finding.severity.value,
        'code': finding.code,
        'evidence': finding.evidence,
        'change': about.knob,
        'cost': about.cost,
        'needs': finding.needs,
        'page': about.page,
    }


def _where(finding: Finding) -> dict[str, Any]:
    return {
        'title': finding.about.title,
        'why': finding.about.why,
        'pcpus': sorted(finding.where.pcpus),
        'cells': sorted(finding.where.cells),
        'devices': sorted(finding.where.devices),
    }


def lines(guests: Sequence[Assessed]) -> Iterator[str]:
    """Yield the findings of guests in lines of a terminal, the guest with the
    worst first.
    """
    for each in sorted(guests, key=_badness):
        setup = each.guest.setup
        where = f'pid {each.guest.pid}' if each.guest.pid else 'document'
        yield (
            f'{setup.name} ({where}, {setup.vcpus} vCPUs, '
            f'{setup.memory_kib >> 10} MiB): {counts(each.findings)}'
        )
        yield from _findings(each.findings)
        yield ''
    yield summary(guests)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    unseen: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        if each.severity is Severity.UNKNOWN:
            codes = unseen.setdefault((each.evidence, each.needs), [])
            codes.append(each.code)
            continue
        yield from _wrapped(each.severity.value, each.code, each.evidence)
        yield from _wrapped('', '', f'change: {each.about.knob}')
        yield from _wrapped('', '', f'costs: {each.about.cost}')
    for (why, needs), codes in unseen.items():
        more = f'; needs {needs}' if needs else ''
        yield from _wrapped(
            Severity.UNKNOWN.value, '', f'{", ".join(codes)}: {why}{more}'
        )


def _wrapped(severity: str, code: str, text: str) -> Iterator[str]:
    start = f'  {severity:{_SEVERITY}}{code:{_CODE}}'
    if severity and not code:
        start = f'  {severity:{_SEVERITY}}'
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start if start.strip() else ' ' * (2 + _SEVERITY),
        subsequent_indent=' ' * (4 + _SEVERITY),
        break_on_hyphens=False,
    )


def counts(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of each severity."""
    found: dict[str, int] = {}
    for each in findings:
        found[each.severity.value] = found.get(each.severity.value, 0) + 1
    unknown = found.pop(Severity.UNKNOWN.value, 0)
    parts = [
        f'{count} {word}'
        if count == 1 or word == 'info'
        else f'{count} {word}s'
        for word, count in found.items()
    ]
    text = ', '.join(parts) or 'nothing found'
    return f'{text} ({unknown} unknown)' if unknown else text


def summary(guests: Sequence[Assessed]) -> str:
    """Return one line about all guests."""
    if not guests:
        return 'no guest runs'
    clean = sum(not _found(each) for each in guests)
    return (
        f'{clean} of {len(guests)} guests without a finding; all together: '
        f'{counts(f for each in guests for f in each.findings)}'
    )


def _found(assessed: Assessed) -> list[Finding]:
    return [
        each
        for each in assessed.findings
        if each.severity is not Severity.UNKNOWN
    ]


def _badness(assessed: Assessed) -> tuple[int, int, int, str]:
    found = [each.severity for each in assessed.findings]
    return (
        -found.count(Severity.ERROR),
        -found.count(Severity.WARNING),
        -found.count(Severity.INFO),
        assessed.guest.setup.name,
    )
