"""Render an assessment for people and for programs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kvm_tuning.cmd.command import Section
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.codes import CODES
from kvm_tuning.core.assess.finding import Finding, Severity

#: The columns of :func:`rows`.
COLUMNS = (
    'guest', 'severity', 'code', 'evidence', 'change', 'cost', 'needs', 'page',
)  # fmt: skip
#: The columns of :func:`codes`.
SUMS = ('code', 'severity', 'findings', 'meaning')
#: The columns of the guests.
GUESTS = ('guest', 'pid', 'vCPUs', 'MiB', 'worst', 'findings')


def host_rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """Return one row a finding of the host itself, without a guest."""
    return [('', *map(str, _facts(each).values())) for each in findings]


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
            'findings': [plain(finding) for finding in each.findings],
        }
        for each in guests
    ]


def plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data."""
    return {**_facts(finding), **_where(finding)}


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
    """Return what does not fit a row."""
    return {
        'title': finding.about.title,
        'why': finding.about.why,
        'pcpus': sorted(finding.where.pcpus),
        'cells': sorted(finding.where.cells),
        'devices': sorted(finding.where.devices),
    }


def sections(guests: Sequence[Assessed]) -> Iterator[Section]:
    """Yield a table of the guests, the findings of each and a summary; the
    guest with the worst comes first.
    """
    ordered = sorted(guests, key=_badness)
    if ordered:
        yield Section('', GUESTS, [_row(each) for each in ordered])
    for each in ordered:
        lines = tuple(lines_of(each.findings))
        if lines:
            yield Section(f'Guest {each.guest.setup.name}', lines=lines)
    yield Section('', lines=(summary(ordered),))


def _row(each: Assessed) -> tuple[Any, ...]:
    setup = each.guest.setup
    worst = each.findings[0].severity.value if _found(each) else 'ok'
    return (
        setup.name,
        each.guest.pid,
        setup.vcpus,
        setup.memory_kib >> 10,
        worst,
        counts(each.findings),
    )


def lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield findings in lines of a terminal."""
    unseen: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        if each.severity is Severity.UNKNOWN:
            codes = unseen.setdefault((each.evidence, each.needs), [])
            codes.append(each.code)
            continue
        yield f'- {each.severity.value} {each.code}: {each.evidence}'
        yield f'    change: {each.about.knob}'
        yield f'    costs: {each.about.cost}'
    for (why, needs), codes in unseen.items():
        more = f'; needs {needs}' if needs else ''
        yield f'- {Severity.UNKNOWN.value} {", ".join(codes)}: {why}{more}'


def counts(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of each severity, the worst first."""
    number = Counter(each.severity for each in findings)
    parts = [
        f'{number[each]} {each.value}'
        + ('s' if number[each] > 1 and each is not Severity.INFO else '')
        for each in (Severity.ERROR, Severity.WARNING, Severity.INFO)
        if number[each]
    ]
    text = ', '.join(parts) or 'nothing found'
    unknown = number[Severity.UNKNOWN]
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


def codes(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return how often each code was found, the worst first; what is unknown
    is not counted.
    """
    number = Counter(
        each.code for each in findings if each.severity is not Severity.UNKNOWN
    )
    return [
        dict(
            zip(
                SUMS,
                (name, code.severity.value, number[name], code.title),
                strict=True,
            )
        )
        for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO)
        for name, code in CODES.items()
        if name in number and code.severity is severity
    ]
