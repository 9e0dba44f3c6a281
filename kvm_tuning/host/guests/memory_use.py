"""Observe where the memory of a guest is, at the lowest cost.

The kernel counts it for each control group. ``numa_maps`` and ``smaps`` walk
the page tables of the guest under its ``mmap_lock``: they are read only where
no group of the guest's own counts, and only if the caller accepts it.
"""

from collections.abc import Iterator, Mapping
import re

from kvm_tuning.core.assess.guest import Memory
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Unknown
from kvm_tuning.core.whole import number
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import memory

#: What is on each host cell.
_Nodes = dict[int, int]

#: A control group of one guest: libvirt's, with and without systemd, and
#: Proxmox'.
_OWN = re.compile(
    r'machine-qemu(?:\\x2d|-)\S+\.scope\Z|\S+\.libvirt-qemu\Z|[0-9]+\.scope\Z'
)
#: Where controllers of version 1 and version 2 are mounted.
_BASES = {
    'memory': ('sys/fs/cgroup/memory',),
    'hugetlb': ('sys/fs/cgroup/hugetlb',),
    '': ('sys/fs/cgroup', 'sys/fs/cgroup/unified'),
}
_NODE = re.compile(r'N([0-9]{1,9})=([0-9]{1,18})\Z')
_HUGE = re.compile(r'hugetlb\.\S{1,16}\.numa_stat\Z')
#: Names of what is guest RAM in ``memory.numa_stat``; version 1 counts shared
#: memory as anonymous.
_V2 = frozenset({'anon', 'shmem'})
_V2_HUGE = frozenset({'anon_thp', 'shmem_thp'})
_V1 = 'hierarchical_anon'
#: Keys of smaps.
_THP = ('AnonHugePages', 'ShmemPmdMapped')
_HUGETLB = ('Shared_Hugetlb', 'Private_Hugetlb')

_NOT_WALKED = Unknown(
    "no control group of the guest's own counts its memory",
    'to read its page tables',
)


class Reader:
    """Reads the memory of guests below ``root``.

    :param walk: read ``numa_maps`` and ``smaps`` where nothing else tells,
        each at most once a guest.
    """

    def __init__(self, root: str, page_kib: int, walk: bool) -> None:
        self._tree = Tree(root)
        self._page_kib = page_kib
        self._walk = walk

    def read(self, process: Process) -> Memory | Unknown:
        """Return where the memory of a guest's process is.

        :raises InventoryUnreadable: the process has ended.
        """
        status = process.fields('status')
        if isinstance(status, Unknown):
            return status
        sizes = {key: _kib(status.get(key, '')) for key in status}
        huge = sizes.get('HugetlbPages') or 0
        groups = dict(self._groups(process))
        resident = sizes.get('VmRSS')
        smaps: Mapping[str, int] | Unknown = _NOT_WALKED
        transparent = self._transparent(groups)
        if isinstance(transparent, Unknown) or resident is None:
            smaps = self._smaps(process)
        if resident is None:
            if isinstance(smaps, Unknown):
                return smaps
            resident = smaps.get('Rss', 0)
            huge = sum(smaps.get(key, 0) for key in _HUGETLB)
        if isinstance(transparent, Unknown):
            transparent = (
                smaps
                if isinstance(smaps, Unknown)
                else sum(smaps.get(key, 0) for key in _THP)
            )
        return Memory(
            resident_kib=resident + huge,
            huge_kib=huge,
            swapped_kib=sizes.get('VmSwap') or 0,
            locked_kib=sizes.get('VmLck') or 0,
            transparent_kib=transparent,
            cells_kib=self._cells(process, groups, huge),
        )

    def _groups(self, process: Process) -> Iterator[tuple[str, str]]:
        """Yield each controller ('' for version 2) and the directory of the
        guest's own group below the root.
        """
        text = process.text('cgroup')
        if isinstance(text, Unknown):
            return
        for line in text.splitlines():
            _number, _colon, rest = line.partition(':')
            names, _colon, path = rest.partition(':')
            own = _own_group(path)
            if own is None:
                continue
            for name in names.split(','):
                for base in _BASES.get(name, ()):
                    folder = f'{base}{own}'
                    if self._tree.real(folder) is not None:
                        yield name, folder

    def _text(self, folder: str, name: str) -> str:
        try:
            return self._tree.text(f'{folder}/{name}') or ''
        except InventoryUnreadable:
            return ''

    def _numa_stat(self, groups: Mapping[str, str]) -> dict[str, _Nodes]:
        for name in ('memory', ''):
            if name in groups:
                found = dict(
                    _counts(self._text(groups[name], 'memory.numa_stat'))
                )
                if found:
                    return found
        return {}

    def _transparent(self, groups: Mapping[str, str]) -> int | Unknown:
        stat = self._numa_stat(groups)
        counted = [stat[key] for key in _V2_HUGE if key in stat]
        if counted:
            return sum(sum(nodes.values()) for nodes in counted) >> 10
        if 'memory' in groups:
            for line in self._text(groups['memory'], 'memory.stat').split(
                '\n'
            ):
                key, _space, value = line.partition(' ')
                if key == 'total_rss_huge' and number(value) is not None:
                    return int(value) >> 10
        return _NOT_WALKED

    def _cells(
        self, process: Process, groups: Mapping[str, str], huge_kib: int
    ) -> Mapping[int, int] | Unknown:
        stat = self._numa_stat(groups)
        found: dict[int, int] = {}
        for key, nodes in stat.items():
            if key in _V2:
                _add(found, {n: size >> 10 for n, size in nodes.items()})
            elif key == _V1:
                _add(
                    found,
                    {n: size * self._page_kib for n, size in nodes.items()},
                )
        huge = self._huge(groups) if huge_kib else {}
        if found and huge is not None:
            return _add(found, huge)
        return self._numa_maps(process)

    def _huge(self, groups: Mapping[str, str]) -> dict[int, int] | None:
        """Return what is in hugetlbfs's pages; None: it is not counted."""
        for name in ('hugetlb', ''):
            found: dict[int, int] = {}
            if name not in groups:
                continue
            for file in self._tree.names(groups[name]):
                if _HUGE.match(file):
                    text = self._text(groups[name], file)
                    for key, nodes in _counts(text):
                        if key == 'total':
                            _add(found, {n: s >> 10 for n, s in nodes.items()})
            if found:
                return found
        return None

    def _numa_maps(self, process: Process) -> Mapping[int, int] | Unknown:
        if not self._walk:
            return _NOT_WALKED
        placed = memory.numa_maps(process)
        if isinstance(placed, Unknown):
            return placed
        found: dict[int, int] = {}
        for nodes_kib in placed:
            _add(found, nodes_kib)
        return found

    def _smaps(self, process: Process) -> Mapping[str, int] | Unknown:
        """Return the sums over all mappings, in KiB."""
        if not self._walk:
            return _NOT_WALKED
        text: str | Unknown = _NOT_WALKED
        for name in ('smaps_rollup', 'smaps'):
            text = process.text(name)
            if not isinstance(text, Unknown):
                break
        if isinstance(text, Unknown):
            return text
        found: dict[str, int] = {}
        for line in text.splitlines():
            key, colon, value = line.partition(':')
            size = _kib(value) if colon else None
            if size is not None:
                found[key] = found.get(key, 0) + size
        return found


def _own_group(path: str) -> str | None:
    """Return the guest's own part of a control group's path."""
    parts = path.split('/')
    for index, part in enumerate(parts):
        if _OWN.match(part) and '..' not in parts:
            return '/'.join(parts[: index + 1])
    return None


def _counts(text: str) -> Iterator[tuple[str, _Nodes]]:
    """Yield the lines of a ``numa_stat``: ``anon N0=1``, ``total=1 N0=1``."""
    for line in text.splitlines():
        words = line.split()
        if words:
            nodes = {}
            for word in words[1:]:
                if match := _NODE.match(word):
                    nodes[int(match[1])] = int(match[2])
            yield words[0].partition('=')[0], nodes


def _add(found: _Nodes, more: Mapping[int, int]) -> _Nodes:
    for node, size in more.items():
        found[node] = found.get(node, 0) + size
    return found


def _kib(text: str) -> int | None:
    value, _space, unit = text.strip().partition(' ')
    return number(value) if unit == 'kB' else None
