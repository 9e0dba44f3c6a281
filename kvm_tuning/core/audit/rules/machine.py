"""vCPUs, cells and caches as QEMU shows them to the guest, and iothreads."""

from collections.abc import Mapping

from kvm_tuning.core import cpuset, drift
from kvm_tuning.core.audit.rules.affinity import threads
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict, equal
from kvm_tuning.core.drift import ABSENT, Point
from kvm_tuning.core.observed import Arguments, Kind, Unknown

_Options = Mapping[str, object]


def _arguments(case: Case) -> Arguments | Unknown:
    return case.observed.arguments


def _vcpus(case: Case) -> Verdict:
    found = threads(case.observed, Kind.VCPU)
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    if any(t.index is None for t in found):
        return _smp(case, '')
    # <vcpu current> plugs fewer at the start.
    element = case.point.element
    current = None if element is None else element.get('current')
    return equal(current or case.wanted, len(found))


def _topology(case: Case) -> Verdict:
    if case.wanted == ABSENT:
        return Verdict(case.point.same, case.point.found)
    return _smp(case, case.point.name)


def _smp(case: Case, name: str) -> Verdict:
    arguments = _arguments(case)
    if isinstance(arguments, Unknown):
        return Verdict.unknown(arguments)
    for options in arguments.of('smp'):
        value = options.get('maxcpus') if name == '' else None
        value = value or options.get(name) or options.get('cpus')
        return equal(case.wanted, value)
    return Verdict.unknown(Unknown('QEMU was started without -smp'))


def _iothreads(case: Case) -> Verdict:
    found = threads(case.observed, Kind.IOTHREAD)
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    return equal(case.wanted, len(found))


def _cell_cpus(case: Case) -> Verdict:
    """Read ``-numa node,cpus=0-1,cpus=4``, or ``-numa cpu`` of newer
    libvirt.
    """
    node = _cell(case.point, _arguments(case))
    if isinstance(node, Unknown):
        return Verdict.unknown(node)
    texts = node.get('cpus', '')
    listed = texts if isinstance(texts, list) else [texts]
    try:
        found = frozenset().union(*(cpuset.parse(str(t)) for t in listed))
    except ValueError as error:
        return Verdict.unknown(Unknown(f"QEMU's -numa: {error}"))
    if not found:
        return Verdict.unknown(Unknown("QEMU's -numa lists no CPUs"))
    return Verdict(found == case.cpus, cpuset.format(found))


def _cell_memory(case: Case) -> Verdict:
    """Check the size of the cell's block of RAM."""
    cell = case.number('id')
    ram = case.observed.memory.ram
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    size = sum(r.size_kib for r in ram if (r.cell or 0) == cell)
    return Verdict(size == drift.kib(case.wanted), f'{size} KiB')


def _cell(point: Point, arguments: Arguments | Unknown) -> _Options | Unknown:
    if isinstance(arguments, Unknown):
        return arguments
    for options in arguments.of('numa'):
        kind = options.get('') or options.get('type')
        if kind == 'node' and str(options.get('nodeid')) == point.key('id'):
            return options
    return Unknown(f'QEMU was started without cell {point.key("id")}')


def _cache(case: Case) -> Verdict:
    """libvirt's cache mode is two properties of QEMU's x86 CPU."""
    arguments = _arguments(case)
    if isinstance(arguments, Unknown):
        return Verdict.unknown(arguments)
    for cpu in arguments.of('cpu'):
        host = cpu.get('host-cache-info') in (True, 'on')
        l3 = cpu.get('l3-cache') in (True, 'on')
        found = 'passthrough' if host else 'emulate' if l3 else 'disable'
        return Verdict(found == case.wanted, found)
    return Verdict.unknown(Unknown('QEMU was started without -cpu'))


def _hint(case: Case) -> Verdict:
    """libvirt's ``hint-dedicated`` is a property of QEMU's x86 CPU."""
    arguments = _arguments(case)
    if isinstance(arguments, Unknown):
        return Verdict.unknown(arguments)
    for cpu in arguments.of('cpu'):
        told = cpu.get('kvm-hint-dedicated') in (True, 'on')
        found = 'on' if told else 'off'
        return Verdict((case.wanted == 'on') == told, found)
    return Verdict.unknown(Unknown('QEMU was started without -cpu'))


_SHAPE = "the guest's scheduler works with a different topology"
_SMP = Rule(_topology, 'guest-topology', _SHAPE)
_HINT = Rule(
    _hint,
    'cpu-hint',
    'the guest guards against preemption, or relies on having none',
)

RULES: Rules = {
    ('vcpu', '#text'): Rule(
        _vcpus, 'vcpus', 'the guest has a different number of vCPUs'
    ),
    ('iothreads', '#text'): Rule(
        _iothreads, 'iothreads', 'disks share fewer iothreads than promised'
    ),
    ('cpu/topology', 'sockets'): _SMP,
    ('cpu/topology', 'dies'): _SMP,
    ('cpu/topology', 'clusters'): _SMP,
    ('cpu/topology', 'cores'): _SMP,
    ('cpu/topology', 'threads'): _SMP,
    ('cpu/numa/cell', 'cpus'): Rule(_cell_cpus, 'guest-cells', _SHAPE),
    ('cpu/numa/cell', 'memory'): Rule(_cell_memory, 'guest-cells', _SHAPE),
    ('features/kvm/hint-dedicated', ''): _HINT,
    ('features/kvm/hint-dedicated', 'state'): _HINT,
    ('cpu/cache', 'mode'): Rule(_cache, 'cache-topology', _SHAPE),
}
