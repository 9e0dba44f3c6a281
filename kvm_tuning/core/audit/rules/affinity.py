"""Which pCPUs each thread of the guest may run on."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset, whole
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict
from kvm_tuning.core.observed import Kind, Observed, Thread, Unknown
from kvm_tuning.core.xml import pins

_UNTOLD = Unknown(
    "QEMU's threads have no names (it runs without debug-threads=on)",
    '--monitor',
)


def threads(observed: Observed, *kinds: Kind) -> tuple[Thread, ...] | Unknown:
    """Return the threads of these ``kinds``."""
    if isinstance(observed.threads, Unknown):
        return observed.threads
    if any(t.kind is Kind.UNTOLD for t in observed.threads):
        return _UNTOLD
    return tuple(t for t in observed.threads if t.kind in kinds)


def cpus_of(found: Iterable[Thread]) -> frozenset[int] | Unknown:
    """Return all pCPUs that any of the threads may run on."""
    cpus: frozenset[int] = frozenset()
    for thread in found:
        if isinstance(thread.cpus, Unknown):
            return thread.cpus
        cpus |= thread.cpus
    return cpus


def _vcpupin(case: Case) -> Verdict:
    return _numbered(case, Kind.VCPU, case.number('vcpu'))


def _iothreadpin(case: Case) -> Verdict:
    return _numbered(case, Kind.IOTHREAD, case.number('iothread'))


def _numbered(case: Case, kind: Kind, index: int | None) -> Verdict:
    found = threads(case.observed, kind)
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    mine = [t for t in found if t.index == index]
    if not mine and any(t.index is None for t in found):
        return Verdict(False, 'one thread runs all vCPUs (TCG)')
    if not mine and kind is Kind.VCPU and len(found) == _plugged(case):
        return Verdict(True, 'not plugged')
    if not mine:
        return Verdict(False, f'no {kind.value} thread {index}')
    return _same(case, mine)


def _plugged(case: Case) -> int | None:
    """Return how many vCPUs the running guest has where it has fewer than all
    (formatdomain, ``<vcpu current>``).
    """
    vcpu = case.domain.root.find('vcpu')
    return None if vcpu is None else whole.number(vcpu.get('current'))


def _all_vcpus(case: Case) -> Verdict:
    """Check the vCPUs without a ``<vcpupin>`` against ``<vcpu cpuset>``."""
    found = threads(case.observed, Kind.VCPU)
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    pinned = case.domain.current.pins
    mine = [t for t in found if t.index not in pinned]
    return _same(case, mine) if mine else Verdict(True, 'all vCPUs pinned')


def _same(case: Case, found: Iterable[Thread]) -> Verdict:
    wanted = case.cpus
    if isinstance(wanted, Unknown):
        return Verdict.unknown(wanted)
    odd = []
    for thread in found:
        if isinstance(thread.cpus, Unknown):
            return Verdict.unknown(thread.cpus)
        if thread.cpus != wanted:
            odd.append(thread)
    if not odd:
        return Verdict(True, cpuset.format(wanted))
    return Verdict(False, ', '.join(_shown(t) for t in odd))


def _emulatorpin(case: Case) -> Verdict:
    """Check that the main loop has the promised pCPUs. Whatever runs besides
    the vCPUs and iothreads stays within them: vhost threads follow the
    emulator, and a worker follows the thread that started it, which may be an
    iothread.
    """
    found = threads(case.observed, Kind.EMULATOR)
    within = threads(case.observed, Kind.VHOST, Kind.WORKER)
    iothreads = threads(case.observed, Kind.IOTHREAD)
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    verdict = _same(case, found)
    if verdict.kept is not True:
        return verdict
    if isinstance(within, Unknown) or isinstance(iothreads, Unknown):
        return verdict
    emulator = case.cpus
    if isinstance(emulator, Unknown):
        return Verdict.unknown(emulator)
    theirs = cpus_of(iothreads)
    for thread in within:
        if isinstance(thread.cpus, Unknown):
            return Verdict.unknown(thread.cpus)
        allowed = emulator
        if thread.kind is Kind.WORKER and not isinstance(theirs, Unknown):
            allowed |= theirs
        if not thread.cpus <= allowed:
            return Verdict(False, _shown(thread))
    return verdict


def _shown(thread: Thread) -> str:
    assert not isinstance(thread.cpus, Unknown)
    return f'{cpuset.format(thread.cpus)} (thread {thread.tid} {thread.name})'


RULES: Rules = {
    (pins.VCPU_PIN, 'cpuset'): Rule(
        _vcpupin,
        'vcpu-affinity',
        'a vCPU that moves loses its caches, and may take a pCPU that '
        'belongs to another guest',
    ),
    ('vcpu', 'cpuset'): Rule(
        _all_vcpus,
        'vcpu-affinity',
        'the vCPUs may run where they should not',
    ),
    (pins.EMULATOR_PIN, 'cpuset'): Rule(
        _emulatorpin,
        'emulator-affinity',
        "the emulator's threads may take time from the vCPUs",
    ),
    (pins.IOTHREAD_PIN, 'cpuset'): Rule(
        _iothreadpin,
        'iothread-affinity',
        'an iothread may take time from the vCPUs',
    ),
}
