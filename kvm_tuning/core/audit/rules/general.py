"""Findings about a guest that are not about a promise, and notes."""

from collections.abc import Iterator

from kvm_tuning.core import cpuset
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.audit.rules.affinity import threads
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.observed import Kind, Observed, Unknown
from kvm_tuning.core.receipt import Receipt

_TWICE = 'the two guests wait for each other on one pCPU'


def claims(receipt: Receipt | None, others: Ledger) -> Iterator[Finding]:
    """Yield the pCPUs that this guest and another one both hold
    exclusively.
    """
    mine = receipt.claim if receipt is not None else None
    if mine is None:
        return
    for claim in others.claims:
        for kind in ('pcpus', 'shared'):
            both = mine.pcpus & getattr(claim, kind)
            if both:
                yield Finding(
                    Severity.ERROR,
                    'guest/pcpus',
                    f'{cpuset.format(mine.pcpus)} for this guest alone',
                    f'{cpuset.format(both)} also held by {claim.name}',
                    _TWICE,
                    'pcpu-claimed-twice',
                )


def intrusion(observed: Observed, others: Ledger) -> Iterator[Finding]:
    """Yield threads that may run on another guest's exclusive pCPUs."""
    for kind in (Kind.VCPU, Kind.EMULATOR, Kind.IOTHREAD, Kind.VHOST):
        found = threads(observed, kind)
        if isinstance(found, Unknown):
            return
        for claim in others.claims:
            on = [
                (thread, thread.cpus & claim.pcpus)
                for thread in found
                if not isinstance(thread.cpus, Unknown)
                and thread.cpus & claim.pcpus
            ]
            if not on:
                continue
            cpus = frozenset().union(*(cpus for _thread, cpus in on))
            names = sorted({thread.name for thread, _cpus in on})
            yield Finding(
                Severity.ERROR if kind is Kind.VCPU else Severity.WARNING,
                f'guest/{kind.value}',
                f'off the pCPUs of {claim.name}',
                f'{", ".join(names)} may run on {cpuset.format(cpus)}',
                _TWICE,
                'pcpu-of-another-guest',
            )


def idle_iothreads(
    domain: Domain, receipt: Receipt | None
) -> Iterator[Finding]:
    """Yield iothreads that nothing in the document names: as a warning where
    their number was promised. Nova gives every guest an idle one.
    """
    count = domain.current.iothreads
    if not count:
        return
    drivers = [
        *domain.root.iterfind('devices/disk/driver'),
        *domain.root.iterfind('devices/controller/driver'),
    ]
    named = {d.get('iothread') for d in drivers} - {None}
    for driver in drivers:
        named |= {e.get('id') for e in driver.iterfind('iothreads/iothread')}
    if len(named) < count:
        promises = receipt.promises if receipt else ()
        asked = any(promise.path == 'iothreads' for promise in promises)
        yield Finding(
            Severity.WARNING if asked else Severity.INFO,
            'iothreads',
            f'{count} iothreads that serve disks',
            f'a disk or a controller names {len(named)} of them',
            'an iothread that no disk names does nothing: the main loop '
            'serves the disks',
            'iothread-idle',
        )


def transparent_huge_pages(
    observed: Observed, inventory: Inventory
) -> Iterator[Finding]:
    """Yield how much of the guest's RAM is in transparent huge pages."""
    ram = observed.memory.ram
    if isinstance(ram, Unknown):
        return
    small = [r for r in ram if r.page_kib == inventory.page_size_kib]
    if not small:
        return
    resident = sum(r.resident_kib for r in small)
    huge = sum(r.anon_huge_kib for r in small)
    yield Finding(
        Severity.INFO,
        'guest/transparent-huge-pages',
        '',
        f'{huge // 1024} of {resident // 1024} MiB of its RAM',
        'without huge pages of any kind, memory access costs more TLB misses',
        'transparent-huge-pages',
    )


def merged_pages(
    observed: Observed, inventory: Inventory
) -> Iterator[Finding]:
    """Yield how much KSM has merged."""
    ksm = observed.memory.ksm
    if isinstance(ksm, Unknown) or not ksm.merging_pages:
        return
    mib = ksm.merging_pages * inventory.page_size_kib // 1024
    yield Finding(
        Severity.INFO,
        'guest/page-sharing',
        '',
        f'{ksm.merging_pages} pages ({mib} MiB) merged by KSM',
        'a merged page is copied at the next write',
        'pages-merged',
    )


def preferences(receipt: Receipt | None) -> Iterator[Finding]:
    """Yield the preferences that were not kept when the guest was tuned."""
    for unkept in receipt.unkept if receipt is not None else ():
        yield Finding(
            Severity.INFO,
            unkept.knob,
            unkept.wanted,
            unkept.found,
            unkept.reason,
            'preference-not-kept',
        )
