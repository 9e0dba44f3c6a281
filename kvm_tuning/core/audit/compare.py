"""Compare what a guest was promised with what it has.

Findings are data, not errors: one for every promise of the receipt, kept or
not, and one for everything else that is wrong. A promise is compared with the
live document first and then, by the rule of its address
(:mod:`kvm_tuning.core.audit.rules`), with what the kernel and QEMU show: that
a document contains a promise does not prove that it holds.
"""

from collections.abc import Iterator

from kvm_tuning.core import drift
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.audit.rules import general, settings, table
from kvm_tuning.core.audit.rules.rule import Case, Verdict
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.drift import Point
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.observed import Observed, Unknown
from kvm_tuning.core.receipt import Receipt

__all__ = ['Finding', 'Severity', 'compare', 'unreadable']


def compare(
    domain: Domain,
    receipt: Receipt | None,
    observed: Observed | None,
    inventory: Inventory,
    ledger: Ledger,
    owner: str = '',
) -> tuple[Finding, ...]:
    """Return the findings of one guest, its promises first.

    ``domain`` is the *live* XML of a running guest, or the definition of a
    stopped one, for which ``observed`` is None. ``receipt`` is that of the
    definition: a guest that was tuned while it ran shows what is still to
    come. ``ledger`` holds the claims of all guests; those of ``owner`` are
    this guest's own.
    """
    return tuple(_compare(domain, receipt, observed, inventory, ledger, owner))


def unreadable(error: KvmTuningError) -> Finding:
    """Return the finding for a domain whose receipt or XML is unreadable."""
    return Finding(
        Severity.ERROR,
        'metadata/receipt',
        'a readable receipt',
        str(error),
        'it is unknown what this guest was promised',
        'receipt-unreadable',
    )


def _compare(
    domain: Domain,
    receipt: Receipt | None,
    observed: Observed | None,
    inventory: Inventory,
    ledger: Ledger,
    owner: str,
) -> Iterator[Finding]:
    if receipt is None:
        yield Finding(
            Severity.INFO,
            'metadata/receipt',
            '',
            'absent',
            'this guest was promised nothing',
            'no-receipt',
        )
    else:
        for promise in receipt.promises:
            live = observed is not None
            for point in drift.points(domain.root, promise, live):
                if observed is None:
                    yield _defined(point)
                else:
                    yield _running(Case(point, domain, observed, inventory))
        yield from settings.findings(receipt.settings, observed, inventory)
    yield from general.preferences(receipt)
    yield from general.claims(receipt, ledger, owner)
    yield from general.processes(receipt, ledger)
    yield from general.idle_iothreads(domain, receipt)
    if observed is not None:
        yield from general.intrusion(observed, ledger, owner)
        yield from general.transparent_huge_pages(observed, inventory)
        yield from general.merged_pages(observed, inventory)


def _defined(point: Point) -> Finding:
    """Return the finding for a stopped guest: only its definition can be
    compared.
    """
    if point.same:
        return Finding(
            Severity.INFO,
            point.address,
            point.wanted,
            point.found,
            'not running: only the definition was compared',
            'not-running',
        )
    return Finding(
        Severity.ERROR,
        point.address,
        point.wanted,
        point.found,
        'not running; the definition was changed after it was tuned, so the '
        'next start will not keep the promise',
        'drift',
    )


def _running(case: Case) -> Finding:
    """Return the finding for a running guest: the kernel has the last word."""
    point = case.point
    rule = table.of(point)
    verdict = rule.check(case)
    if not point.same and verdict.kept is not False:
        return _drifted(point, verdict)
    severity, why, code = Severity.ERROR, rule.why, rule.code
    if isinstance(verdict.kept, Unknown):
        severity, why = Severity.UNKNOWN, str(verdict.kept)
    elif verdict.kept:
        severity = Severity.OK
    found = verdict.found
    if not point.same and found != point.found:
        found += f' (the live XML: {point.found})'
    if not point.same:
        why += '; it was changed since, or needs a restart of the guest'
    return Finding(severity, point.address, point.wanted, found, why, code)


def _drifted(point: Point, verdict: Verdict) -> Finding:
    """Return the finding where the live document differs and the kernel does
    not: the promise holds by accident, or cannot be checked.
    """
    if verdict.kept is True and verdict.found != point.found:
        found = f'{verdict.found} (the live XML: {point.found})'
        severity = Severity.WARNING
    else:
        found = point.found
        severity = Severity.ERROR
    return Finding(
        severity,
        point.address,
        point.wanted,
        found,
        'the live XML was changed after the guest was tuned, or the guest '
        'was tuned after it started: it needs a restart',
        'drift',
    )
