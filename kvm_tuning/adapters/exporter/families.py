"""The metrics of a snapshot, named by Prometheus' rules."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from kvm_tuning.adapters.exporter.source import Snapshot
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.codes import CODES
from kvm_tuning.core.assess.finding import Severity
from kvm_tuning.core.capacity.count import MOST
from kvm_tuning.core.observed import Kind, Unknown

_PREFIX = 'kvm_tuning_'
_GUEST = ('uuid', 'name')
_NS = 1_000_000_000

Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily


def families(snapshot: Snapshot, per_vcpu: bool = False) -> Iterator[Family]:
    """Yield the metrics of a snapshot.

    :param per_vcpu: have a series for each vCPU, too.
    """
    yield from _collector(snapshot)
    yield from _host(snapshot)
    yield from _cells(snapshot)
    yield from _capacity(snapshot)
    yield from _guests(snapshot, per_vcpu)
    yield from _broken(snapshot)


def _gauge(name: str, about: str, labels: Sequence[str] = ()) -> Family:
    return GaugeMetricFamily(f'{_PREFIX}{name}', about, labels=labels)


def _counter(name: str, about: str, labels: Sequence[str] = ()) -> Family:
    return CounterMetricFamily(f'{_PREFIX}{name}', about, labels=labels)


def _collector(snapshot: Snapshot) -> Iterator[Family]:
    worked = _gauge(
        'collector_success', 'Whether this part could be read.', ('collector',)
    )
    for part, good in snapshot.worked.items():
        worked.add_metric((part,), int(good))
    yield worked
    seconds = _gauge(
        'collector_duration_seconds', 'How long it took to read everything.'
    )
    seconds.add_metric((), snapshot.seconds)
    yield seconds


def _host(snapshot: Snapshot) -> Iterator[Family]:
    if snapshot.reasons is not None:
        ready = _gauge('host_ready', 'Whether the ready gate lets guests in.')
        ready.add_metric((), int(not snapshot.reasons))
        yield ready
        missing = _gauge(
            'host_drifted_settings',
            'Reasons of the ready gate: settings that are not as configured.',
        )
        missing.add_metric((), len(snapshot.reasons))
        yield missing
    yield _findings(snapshot)


def _findings(snapshot: Snapshot) -> Family:
    """Return how often each code was found; also those that were not, so that
    an alert sees them end, but none that nobody could see.
    """
    found: Counter[str] = Counter()
    unseen = set()
    for findings in (
        snapshot.host or (),
        *(guest.findings for guest in snapshot.guests or ()),
    ):
        for each in findings:
            if each.severity is Severity.UNKNOWN:
                unseen.add(each.code)
            else:
                found[each.code] += 1
    family = _gauge(
        'findings',
        'Findings of each code on this host.',
        ('code', 'severity'),
    )
    for name, code in CODES.items():
        if name in found or name not in unseen:
            family.add_metric((name, code.severity.value), found[name])
    return family


def _cells(snapshot: Snapshot) -> Iterator[Family]:
    if snapshot.room is None:
        return
    pcpus = _gauge(
        'cell_free_pcpus', 'pCPUs for guests that nobody holds.', ('cell',)
    )
    domains = _gauge(
        'cell_free_l3_domains', 'L3 domains that are free as a whole.',
        ('cell',),
    )  # fmt: skip
    memory = _gauge(
        'cell_free_memory_bytes',
        'Memory outside of huge pages that no guest holds.',
        ('cell',),
    )
    pages = _gauge(
        'cell_free_pages', 'Huge pages that no guest holds.',
        ('cell', 'size_bytes'),
    )  # fmt: skip
    vfs = _gauge('cell_free_vfs', 'VFs that no guest holds.', ('cell',))
    for each in snapshot.room.cells:
        cell = (str(each.cell),)
        pcpus.add_metric(cell, len(each.pcpus))
        domains.add_metric(cell, each.whole_l3_domains)
        memory.add_metric(cell, each.memory_kib << 10)
        vfs.add_metric(cell, each.vfs)
        for size_kib, number in each.pages.items():
            pages.add_metric((*cell, str(size_kib << 10)), number)
    yield from (pcpus, domains, memory, pages, vfs)


def _capacity(snapshot: Snapshot) -> Iterator[Family]:
    if snapshot.room is None or not snapshot.room.flavors:
        return
    fit = _gauge(
        'capacity_guests',
        f'Guests of a flavor that still fit, {MOST} at most.',
        ('flavor',),
    )
    for each in snapshot.room.flavors:
        fit.add_metric((each.flavor,), MOST if each.unlimited else each.guests)
    yield fit


def _guests(snapshot: Snapshot, per_vcpu: bool) -> Iterator[Family]:
    info = _gauge(
        'guest_info', 'Where a guest comes from.',
        (*_GUEST, 'flavor', 'project'),
    )  # fmt: skip
    findings = _gauge(
        'guest_findings', 'Findings of each code at a guest.',
        (*_GUEST, 'code', 'severity'),
    )  # fmt: skip
    excess = _gauge(
        'guest_excess_l3_domains',
        'L3 domains of its vCPUs beyond the fewest that would do.',
        _GUEST,
    )
    remote = _gauge(
        'guest_remote_memory_ratio',
        'Share of its memory on NUMA cells where no vCPU may run.',
        _GUEST,
    )
    waited = _counter(
        'guest_vcpu_wait_seconds',
        'Time in which vCPUs were ready to run and did not.',
        (*_GUEST, 'vcpu') if per_vcpu else _GUEST,
    )
    for names, each in named(snapshot.guests or ()):
        made = snapshot.made_from.get(each.guest.setup.uuid, ('', ''))
        info.add_metric((*names, *made), 1)
        for code, number in _counts(each).items():
            findings.add_metric(
                (*names, code, CODES[code].severity.value), number
            )
        if each.excess_l3_domains is not None:
            excess.add_metric(names, each.excess_l3_domains)
        if each.remote_memory is not None:
            remote.add_metric(names, each.remote_memory)
        waits_ns = _waits_ns(each)
        if per_vcpu:
            for vcpu, wait_ns in waits_ns.items():
                waited.add_metric((*names, vcpu), wait_ns / _NS)
        elif waits_ns:
            waited.add_metric(names, sum(waits_ns.values()) / _NS)
    yield from (info, findings, excess, remote, waited)


def named(
    guests: Sequence[Assessed],
) -> Iterator[tuple[tuple[str, str], Assessed]]:
    """Yield guests with their UUID and name; where two have the same, the
    second's process id is added: no two series may be the same.
    """
    seen = set()
    for each in guests:
        names = (each.guest.setup.uuid, each.guest.setup.name)
        if names in seen:
            names = (names[0], f'{names[1]} ({each.guest.pid})')
        seen.add(names)
        yield names, each


def _counts(assessed: Assessed) -> Counter[str]:
    return Counter(
        each.code
        for each in assessed.findings
        if each.severity is not Severity.UNKNOWN
    )


def _waits_ns(assessed: Assessed) -> dict[str, int]:
    """Return how long each vCPU has waited since it was started."""
    guest = assessed.guest
    if isinstance(guest.threads, Unknown) or isinstance(
        guest.activity, Unknown
    ):
        return {}
    return {
        str(each.index or 0): guest.activity[each.tid].wait_ns
        for each in guest.threads
        if each.kind is Kind.VCPU and each.tid in guest.activity
    }


def _broken(snapshot: Snapshot) -> Iterator[Family]:
    if snapshot.broken is None:
        return
    broken = _gauge(
        'guest_broken_promises',
        'Promises to a tuned guest that do not hold.',
        _GUEST,
    )
    for names, number in snapshot.broken.items():
        broken.add_metric(names, number)
    yield broken
