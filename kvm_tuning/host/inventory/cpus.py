"""Read CPUs, caches and packages from ``sys/devices/system``.

The kernel's Documentation/admin-guide/cputopology.rst and
Documentation/ABI/stable/sysfs-devices-node name the files. Old kernels have
masks (``thread_siblings``) where newer ones also have lists.
"""

from collections.abc import Callable, Iterable, Mapping
import re

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import NO_CELL, Cpu
from kvm_tuning.host.access.sysfs import Tree

_CPU = 'sys/devices/system/cpu'
_CPU_NAME = re.compile(r'\Acpu(\d{1,5})\Z')
_INDEX_NAME = re.compile(r'\Aindex\d+\Z')
# Cores of one kind differ by this much: some of them turbo higher than
# others (hwloc ranks kinds of cores with the same tolerance).
_SAME_KIND = 0.9

_Sets = dict[int, frozenset[int]]


def read(
    tree: Tree, cell_of: Mapping[int, int] | None, oddities: list[str]
) -> tuple[Cpu, ...]:
    """Return the online CPUs. ``cell_of`` is each CPU's cell; None on a host
    without cells.

    :param oddities: takes what could not be read, one sentence each.
    :raises InventoryUnreadable: there are no CPUs, or the thread siblings
        that the kernel shows contradict each other.
    """
    online = read_online(tree)
    cores = _split(
        tree,
        _sets(
            online,
            lambda cpu: tree.cpus(
                f'{_CPU}/cpu{cpu}/topology/thread_siblings_list',
                f'{_CPU}/cpu{cpu}/topology/thread_siblings',
            ),
            'thread siblings',
        ),
    )
    ids = _ids(tree, cores, online)
    packages = _packages(tree, online, cores, ids, oddities)
    domains = _sets(
        online,
        _l3_reader(tree, cores),
        'L3 domain',
        alone=False,
        known=cores,
        oddities=oddities,
    )
    outside = [c for c in sorted(online) if cell_of and c not in cell_of]
    if outside:
        oddities.append(
            f'the kernel has CPU {cpuset.format(outside)} in no NUMA cell'
        )
    capacity = _capacities(tree, online, cores)
    return tuple(
        Cpu(
            id=cpu,
            core=cores[cpu],
            package=packages[cpu],
            l3=domains.get(cpu),
            cell=0 if cell_of is None else cell_of.get(cpu, NO_CELL),
            core_id=ids[cpu][0],
            package_id=ids[cpu][1],
            die_id=ids[cpu][2],
            capacity=capacity.get(cpu),
        )
        for cpu in sorted(online)
    )


def read_online(tree: Tree) -> frozenset[int]:
    """Return the CPUs that are online.

    A kernel without a list of them has a file ``online`` in the directory
    of each CPU that can be taken offline; an old one has no topology of a
    CPU that is.
    """
    online = tree.cpus(f'{_CPU}/online', '')
    if online is None:
        online = _online_one_by_one(tree)
    if not online:
        raise InventoryUnreadable(f'{tree.root}: no CPU in {_CPU}')
    return online


def _online_one_by_one(tree: Tree) -> frozenset[int]:
    candidates = []
    for name in tree.names(_CPU):
        match = _CPU_NAME.match(name)
        if match and tree.number(f'{_CPU}/{name}/online') != 0:
            candidates.append((int(match[1]), f'{_CPU}/{name}/topology'))
    shown = frozenset(
        cpu for cpu, path in candidates if tree.real(path) is not None
    )
    return shown or frozenset(cpu for cpu, _path in candidates)


def _sets(
    online: frozenset[int],
    ask: Callable[[int], frozenset[int] | None],
    what: str,
    alone: bool = True,
    known: Mapping[int, frozenset[int]] | None = None,
    oddities: list[str] | None = None,
) -> _Sets:
    """Return the set of each CPU; the first one of a set tells it.

    :param alone: whether a CPU without a set is one by itself.
    :param known: the cores; a CPU that shows no set shows none for its
        siblings either.
    :param oddities: takes sets that contradict others, whose CPUs then have
        none.
    :raises InventoryUnreadable: a set contradicts others, and ``oddities``
        is None.
    """
    sets: _Sets = {}
    mute: set[int] = set()
    for cpu in sorted(online):
        if cpu in sets or cpu in mute:
            continue
        found = ask(cpu)
        if found is None:
            if alone:
                sets[cpu] = frozenset((cpu,))
            elif known is not None:
                mute |= known[cpu]
            continue
        members = found & online
        if cpu not in members or not sets.keys().isdisjoint(members):
            text = f'the {what} of CPU {cpu} contradicts that of others'
            if oddities is None:
                raise InventoryUnreadable(text)
            oddities.append(text)
            mute.add(cpu)
            continue
        for member in members:
            sets[member] = members
    return sets


def _split(tree: Tree, cores: _Sets) -> _Sets:
    """Return the cores, those of AMD's dual-core units (families 15h and 16h,
    before Linux 4.9) apart: their CPUs are shown as siblings, with ids of
    their own.
    """
    first = next((core for core in cores.values() if len(core) > 1), None)
    if first is None or len(_core_ids(tree, first)) < 2:
        return cores
    return {
        cpu: frozenset((cpu,)) if len(_core_ids(tree, core)) > 1 else core
        for cpu, core in cores.items()
    }


def _core_ids(tree: Tree, core: Iterable[int]) -> set[int | None]:
    return {
        _shown(tree.number(f'{_CPU}/cpu{cpu}/topology/core_id'))
        for cpu in core
    }


_Ids = tuple[int | None, int | None, int | None]


def _ids(tree: Tree, cores: _Sets, online: Iterable[int]) -> dict[int, _Ids]:
    """Return core_id, package id and die id; siblings have the same."""
    ids: dict[int, _Ids] = {}
    for cpu in sorted(online):
        if cpu in ids:
            continue
        base = f'{_CPU}/cpu{cpu}/topology'
        found = (
            _shown(tree.number(f'{base}/core_id')),
            _shown(tree.number(f'{base}/physical_package_id')),
            _shown(tree.number(f'{base}/die_id')),
        )
        for member in cores[cpu]:
            ids[member] = found
    return ids


def _shown(number: int | None) -> int | None:
    """Return an id; -1 is the kernel's word for not known."""
    return None if number is None or number < 0 else number


def _packages(
    tree: Tree,
    online: frozenset[int],
    cores: _Sets,
    ids: Mapping[int, _Ids],
    oddities: list[str],
) -> _Sets:
    def by_id(cpu: int) -> frozenset[int]:
        package = ids[cpu][1]
        if package is None:
            return cores[cpu]
        return frozenset(c for c in online if ids[c][1] == package)

    def ask(cpu: int) -> frozenset[int]:
        base = f'{_CPU}/cpu{cpu}/topology'
        # core_siblings_list is package_cpus_list under its older name.
        found = tree.cpus(
            f'{base}/core_siblings_list', f'{base}/core_siblings'
        ) or tree.cpus(f'{base}/package_cpus_list', f'{base}/package_cpus')
        return by_id(cpu) if found is None else found

    sets = _sets(online, ask, 'package', oddities=oddities)
    if sets.keys() == online:
        return sets
    # They contradict each other. The ids cannot: a core has one.
    return {cpu: by_id(cpu) for cpu in online}


def _l3_reader(
    tree: Tree, cores: _Sets
) -> Callable[[int], frozenset[int] | None]:
    """Return a function that reads one CPU's L3 domain. A cache of which the
    kernel does not know who shares it (Itanium) is the core's own.
    """

    def ask(cpu: int) -> frozenset[int] | None:
        base = f'{_CPU}/cpu{cpu}/cache'
        # Where it nearly always is; listing the directory costs more.
        index = f'{base}/index3'
        if tree.text(f'{index}/level') != '3':
            found = _find_l3(tree, base)
            if found is None:
                return None
            index = found
        shared = tree.cpus(
            f'{index}/shared_cpu_list', f'{index}/shared_cpu_map'
        )
        return cores[cpu] if shared is not None and not shared else shared

    return ask


def _find_l3(tree: Tree, base: str) -> str | None:
    for name in tree.names(base):
        if (
            _INDEX_NAME.match(name)
            and tree.text(f'{base}/{name}/level') == '3'
        ):
            return f'{base}/{name}'
    return None


def _capacities(
    tree: Tree, online: frozenset[int], cores: _Sets
) -> dict[int, int]:
    """Return the capacity of each CPU; empty when the kernel shows none.

    Differences within a kind of core (favoured cores turbo higher) are
    levelled, so that different numbers mean different kinds.
    """
    first = min(online)
    for name in ('cpu_capacity', 'cpufreq/cpuinfo_max_freq'):
        if tree.number(f'{_CPU}/cpu{first}/{name}') is None:
            continue
        shown = _each_core(tree, online, cores, name)
        if shown:
            return _level(shown)
    return _kinds(tree, online)


def _each_core(
    tree: Tree, online: frozenset[int], cores: _Sets, name: str
) -> dict[int, int]:
    shown: dict[int, int] = {}
    for cpu in sorted(online):
        if cpu in shown:
            continue
        value = tree.number(f'{_CPU}/cpu{cpu}/{name}')
        if value is None:
            return {}
        shown.update(dict.fromkeys(cores[cpu], value))
    return shown


def _level(shown: Mapping[int, int]) -> dict[int, int]:
    levelled: dict[int, int] = {}
    top = 0
    for value in sorted(set(shown.values()), reverse=True):
        if not top or value < top * _SAME_KIND:
            top = value
        levelled[value] = top
    return {cpu: levelled[value] for cpu, value in shown.items()}


def _kinds(tree: Tree, online: frozenset[int]) -> dict[int, int]:
    """Return 2 for Intel's performance cores and 1 for its efficient ones,
    where only their perf devices tell them apart (a guest without cpufreq).
    """
    found: dict[int, int] = {}
    for capacity, name in ((1, 'cpu_atom'), (2, 'cpu_core')):
        cpus = tree.cpus(f'sys/devices/{name}/cpus', '')
        found.update(dict.fromkeys((cpus or frozenset()) & online, capacity))
    return found if found.keys() == online else {}
