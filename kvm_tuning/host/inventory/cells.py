"""Read NUMA cells: their CPUs, memory, huge pages and distances."""

from collections.abc import Mapping
import os
import re
import struct

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import Cell, PagePool
from kvm_tuning.host.access.sysfs import Tree

_NODE = 'sys/devices/system/node'
_NODE_NAME = re.compile(r'\Anode(\d{1,6})\Z')
_POOL_NAME = re.compile(r'\Ahugepages-(\d{1,12})kB\Z')
_AT_PAGESZ = 6


def read_ids(tree: Tree) -> tuple[int, ...]:
    """Return the ids of the cells, ascending; none on a kernel without
    NUMA.
    """
    matches = (_NODE_NAME.match(name) for name in tree.names(_NODE))
    return tuple(sorted(int(match[1]) for match in matches if match))


def read_cpus(tree: Tree, ids: tuple[int, ...]) -> dict[int, int]:
    """Return the cell of each CPU, offline ones too where the kernel says.

    :raises InventoryUnreadable: a CPU is in two cells.
    """
    cell_of: dict[int, int] = {}
    for number in ids:
        base = f'{_NODE}/node{number}'
        cpus = tree.cpus(f'{base}/cpulist', f'{base}/cpumap') or frozenset()
        for cpu in cpus:
            if cell_of.setdefault(cpu, number) != number:
                raise InventoryUnreadable(
                    f'CPU {cpu} is in NUMA cells {cell_of[cpu]} and {number}'
                )
    return cell_of


def read(
    tree: Tree, ids: tuple[int, ...], cell_of: Mapping[int, int]
) -> tuple[Cell, ...]:
    """Return the cells ``ids``; ``cell_of`` holds the online CPUs."""
    members: dict[int, set[int]] = {number: set() for number in ids}
    for cpu, number in cell_of.items():
        members[number].add(cpu)
    return tuple(
        _read_one(tree, number, ids, frozenset(members[number]))
        for number in ids
    )


def read_whole(tree: Tree, cpus: frozenset[int]) -> Cell:
    """Return the only cell of a host without NUMA information.

    :raises InventoryUnreadable: there is no /proc/meminfo.
    """
    memory = _memory(tree, 'proc/meminfo')
    if memory is None:
        raise InventoryUnreadable(
            f'{tree.root}: neither {_NODE} nor proc/meminfo shows the memory'
        )
    pages = _pools(tree, 'sys/kernel/mm/hugepages')
    return Cell(0, cpus, memory[0], memory[1], pages)


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
        if key == 'PageSize' and text.isdecimal() and int(text) >= 1024:
            return int(text) // 1024
    return 4


def _read_one(
    tree: Tree, number: int, ids: tuple[int, ...], cpus: frozenset[int]
) -> Cell:
    base = f'{_NODE}/node{number}'
    # A cell without the file has no memory that anybody could promise.
    total, free = _memory(tree, f'{base}/meminfo') or (0, 0)
    pages = _pools(tree, f'{base}/hugepages')
    if not pages and len(ids) == 1:
        # Kernels before 2.6.33 have no pools per cell.
        pages = _pools(tree, 'sys/kernel/mm/hugepages')
    distances = _distances(tree, f'{base}/distance', ids)
    return Cell(number, cpus, total, free, pages, distances)


def _memory(tree: Tree, path: str) -> tuple[int, int] | None:
    """Return the total and the free bytes of a meminfo file: lines such as
    ``Node 0 MemTotal: 8386704 kB``, without ``Node 0`` in /proc.
    """
    text = tree.text(path)
    if text is None:
        return None
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[-3] not in ('MemTotal:', 'MemFree:'):
            continue
        if not words[-2].isdecimal():
            break
        found[words[-3]] = int(words[-2]) * 1024
        if len(found) == 2:
            return found['MemTotal:'], found['MemFree:']
    raise InventoryUnreadable(
        f'{tree.root}: {path} has no MemTotal and MemFree'
    )


def _pools(tree: Tree, base: str) -> tuple[PagePool, ...]:
    pools = []
    for name in tree.names(base):
        match = _POOL_NAME.match(name)
        if match is None:
            continue
        total = tree.number(f'{base}/{name}/nr_hugepages')
        free = tree.number(f'{base}/{name}/free_hugepages')
        if total is not None and free is not None:
            pools.append(PagePool(int(match[1]), total, free))
    return tuple(sorted(pools, key=lambda pool: pool.size_kib))


def _distances(
    tree: Tree, path: str, ids: tuple[int, ...]
) -> Mapping[int, int]:
    """Return the distance to each cell; the file has the cells' order."""
    words = (tree.text(path) or '').split()
    if len(words) != len(ids) or not all(w.isdecimal() for w in words):
        return {}
    return dict(zip(ids, map(int, words), strict=True))
