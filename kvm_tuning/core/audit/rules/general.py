"""Findings about a guest that are not about a promise, and notes."""

from collections.abc import Iterator, Sequence
import itertools

from kvm_tuning.core import cpuset
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.audit.rules.affinity import threads
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.observed import Kind, Observed, Unknown
from kvm_tuning.core.receipt import Receipt

_TWICE = 'the two guests wait for each other on one pCPU'
# How many guests or threads one finding names.
_NAMED = 5


def claims(
    receipt: Receipt | None, ledger: Ledger, owner: str
) -> Iterator[Finding]:
    """Yield pCPUs that both this guest and another one hold: one finding for
    those that the same guests hold, however many these are.

    :param owner: of this guest's own claims in the ledger.
    """
    mine = receipt.claim if receipt is not None else None
    if mine is None:
        return
    for shared in (False, True):
        for others, pcpus in _grouped(mine.pcpus, ledger, owner, shared):
            yield Finding(
                Severity.ERROR,
                'guest/pcpus',
                f'{cpuset.format(mine.pcpus)} for this guest alone',
                f'{cpuset.format(pcpus)} also held by {others}',
                _TWICE,
                'pcpu-claimed-twice',
            )


def intrusion(
    observed: Observed, ledger: Ledger, owner: str
) -> Iterator[Finding]:
    """Yield threads that may run on a pCPU held by another guest.

    :param owner: of this guest's own claims in the ledger.
    """
    for kind in (Kind.VCPU, Kind.EMULATOR, Kind.IOTHREAD, Kind.VHOST):
        found = threads(observed, kind)
        if isinstance(found, Unknown):
            return
        known = [
            (t.name, t.cpus) for t in found if not isinstance(t.cpus, Unknown)
        ]
        allowed = frozenset[int]().union(*(cpus for _name, cpus in known))
        for others, pcpus in _grouped(allowed, ledger, owner):
            names = sorted({name for name, cpus in known if cpus & pcpus})
            which = _several(names, len(names))
            yield Finding(
                Severity.ERROR if kind is Kind.VCPU else Severity.WARNING,
                f'guest/{kind.value}',
                f'off the pCPUs of {others}',
                f'{which} may run on {cpuset.format(pcpus)}',
                _TWICE,
                'pcpu-of-another-guest',
            )


def processes(receipt: Receipt | None, ledger: Ledger) -> Iterator[Finding]:
    """Yield processes that are not guests and are pinned to pCPUs that this
    guest holds.
    """
    mine = receipt.claim if receipt is not None else None
    for claim in ledger.claims:
        pcpus = mine.pcpus & claim.pcpus if mine and claim.foreign else None
        if mine is not None and pcpus:
            yield Finding(
                Severity.WARNING,
                'guest/pcpus',
                f'{cpuset.format(mine.pcpus)} for this guest alone',
                f'{claim.name} is pinned to {cpuset.format(pcpus)}',
                'the process and the guest wait for each other on one pCPU',
                'pcpu-of-a-process',
            )


def _grouped(
    pcpus: frozenset[int], ledger: Ledger, owner: str, shared: bool = False
) -> list[tuple[str, frozenset[int]]]:
    """Return pCPUs by who else has them, as a message names these. It takes
    no longer where there are more guests.

    :param shared: who shares them, not who holds them exclusively.
    """
    index = ledger.sharers if shared else ledger.holders
    groups: dict[int, set[int]] = {}
    for pcpu in sorted(pcpus & index.keys()):
        groups.setdefault(id(index[pcpu]), set()).add(pcpu)
    found = []
    for each in groups.values():
        pcpu = min(each)
        own = sum(
            pcpu in (claim.shared if shared else claim.pcpus)
            for claim in ledger.by_owner.get(owner, ())
        )
        # Processes are findings of their own.
        held = [claim for claim in index[pcpu] if not claim.foreign]
        others = (c.name for c in held if not own or c.owner != owner)
        count = len(held) - own
        if count:
            names = list(itertools.islice(others, _NAMED))
            found.append((_several(names, count), frozenset(each)))
    return found


def _several(names: Sequence[str], count: int) -> str:
    """Return the first names and how many more of ``count`` there are."""
    shown = ', '.join(names[:_NAMED])
    more = count - min(len(names), _NAMED)
    return f'{shown} and {more} more' if more > 0 else shown


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
