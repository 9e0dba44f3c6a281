"""Read NUMA cells: their CPUs, memory, huge pages and distances."""

from collections.abc import Mapping
import os
import re
import struct

from kvm_tuning.core import whole
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import Cell, PagePool
from kvm_tuning.host.access.sysfs import Tree

_NODE = 'sys/devices/system/node'
_GPUS = 'proc/driver/nvidia/gpus'
_NODE_NAME = re.compile(r'\Anode(\d{1,6})\Z')
_POOL_NAME = re.compile(r'\Ahugepages-(\d{1,12})kB\Z')
_AT_PAGESZ = 6
_MEMORY_KEYS = ('MemTotal:', 'MemFree:')


def read_ids(tree: Tree) -> tuple[int, ...]:
    """Return the ids of the cells, ascending; none on a kernel without
    NUMA.
    """
    matches = (_NODE_NAME.match(name) for name in tree.names(_NODE))
    found = {int(match[1]) for match in matches if match}
    return tuple(sorted(found - _of_gpus(tree)))


def _of_gpus(tree: Tree) -> frozenset[int]:
    """Return the cells that are the memory of an NVIDIA GPU (POWER9), which
    is not the host's to give away.
    """
    found = set()
    for gpu in tree.names(_GPUS):
        text = tree.text(f'{_GPUS}/{gpu}/numa_status') or ''
        for line in text.splitlines():
            key, _colon, value = line.partition(':')
            number = whole.number(value.strip())
            if key == 'Node' and number is not None:
                found.add(number)
    return frozenset(found)


def read_cpus(
    tree: Tree, ids: tuple[int, ...], oddities: list[str]
) -> tuple[tuple[int, ...], dict[int, int]]:
    """Return those of the cells that are what they say, and the cell of each
    CPU, offline ones too where the kernel says. A cell that claims a CPU of
    an earlier one (firmware with faults) is left out, as hwloc does.

    :param oddities: takes the cells that are left out, one sentence each.
    """
    cell_of: dict[int, int] = {}
    found = []
    for number in ids:
        base = f'{_NODE}/node{number}'
        cpus = tree.cpus(f'{base}/cpulist', f'{base}/cpumap') or frozenset()
        taken = [cpu for cpu in sorted(cpus) if cpu in cell_of]
        if taken:
            oddities.append(
                f'NUMA cell {number} claims CPU {taken[0]} of cell '
                f'{cell_of[taken[0]]}, and is left out'
            )
            continue
        found.append(number)
        cell_of.update(dict.fromkeys(cpus, number))
    return tuple(found), cell_of


def read(
    tree: Tree,
    ids: tuple[int, ...],
    cell_of: Mapping[int, int],
    oddities: list[str],
) -> tuple[Cell, ...]:
    """Return the cells ``ids``; ``cell_of`` holds the online CPUs.

    :param oddities: takes what could not be read, one sentence each.
    """
    members: dict[int, set[int]] = {number: set() for number in ids}
    for cpu, number in cell_of.items():
        if number in members:
            members[number].add(cpu)
    return tuple(
        _read_one(tree, number, ids, frozenset(members[number]), oddities)
        for number in ids
    )


def read_whole(tree: Tree, cpus: frozenset[int], oddities: list[str]) -> Cell:
    """Return the only cell of a host without NUMA information."""
    total, free = _memory(tree, 'proc/meminfo', oddities)
    pages = _pools(tree, 'sys/kernel/mm/hugepages', oddities)
    return Cell(0, cpus, total, free, pages)


def read_page_size_kib(tree: Tree) -> int:
    """Return the base page size.

    Another machine's is AT_PAGESZ of getauxval(3), or what
    hwloc-gather-topology wrote down; 4 when neither is there.
    """
    if tree.is_this_host:
        # A process that changed its user may not read its own auxv.
        return os.sysconf('SC_PAGE_SIZE') // 1024
    auxv = tree.raw('proc/self/auxv') or b''
    pairs = auxv[: len(auxv) // 16 * 16]
    for key, value in struct.iter_unpack('=QQ', pairs):
        if key == _AT_PAGESZ and value >= 1024:
            return int(value) // 1024
    for line in (tree.text('proc/hwloc-nofile-info') or '').splitlines():
        key, _colon, text = line.partition(': ')
        size = whole.number(text) if key == 'PageSize' else None
        if size is not None and size >= 1024:
            return size // 1024
    return 4


def _read_one(
    tree: Tree,
    number: int,
    ids: tuple[int, ...],
    cpus: frozenset[int],
    oddities: list[str],
) -> Cell:
    base = f'{_NODE}/node{number}'
    total, free = _memory(tree, f'{base}/meminfo', oddities)
    pages = _pools(tree, f'{base}/hugepages', oddities)
    if not pages and len(ids) == 1:
        # Kernels before 2.6.33 have no pools per cell.
        pages = _pools(tree, 'sys/kernel/mm/hugepages', oddities)
    distances = _distances(tree, f'{base}/distance', ids)
    return Cell(number, cpus, total, free, pages, distances)


def _memory(tree: Tree, path: str, oddities: list[str]) -> tuple[int, int]:
    """Return the total and the free bytes of a meminfo file: lines such as
    ``Node 0 MemTotal: 8386704 kB``, without ``Node 0`` in /proc. What it does
    not say is 0: memory that nobody could promise.
    """
    found: dict[str, int] = {}
    try:
        text = tree.text(path) or ''
    except InventoryUnreadable as error:
        text = ''
        oddities.append(str(error))
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[-3] in _MEMORY_KEYS:
            kib = whole.number(words[-2])
            if kib is not None:
                found.setdefault(words[-3], kib * 1024)
    missing = [key.rstrip(':') for key in _MEMORY_KEYS if key not in found]
    if missing:
        oddities.append(f'/{path} does not show {" and ".join(missing)}')
    total, free = (found.get(key, 0) for key in _MEMORY_KEYS)
    return total, free


def _pools(tree: Tree, base: str, oddities: list[str]) -> tuple[PagePool, ...]:
    pools = []
    for name in tree.names(base):
        match = _POOL_NAME.match(name)
        if match is None:
            continue
        try:
            total = tree.number(f'{base}/{name}/nr_hugepages')
            free = tree.number(f'{base}/{name}/free_hugepages')
        except InventoryUnreadable as error:
            oddities.append(str(error))
            continue
        if total is not None and free is not None:
            pools.append(PagePool(int(match[1]), total, free))
    return tuple(sorted(pools, key=lambda pool: pool.size_kib))


def _distances(
    tree: Tree, path: str, ids: tuple[int, ...]
) -> Mapping[int, int]:
    """Return the distance to each cell; the file has the cells' order."""
    words = (tree.text(path) or '').split()
    found = [n for n in map(whole.number, words) if n is not None]
    if len(words) != len(ids) or len(found) != len(ids):
        return {}
    return dict(zip(ids, found, strict=True))
