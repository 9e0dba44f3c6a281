"""Observe the RAM of a running guest in smaps and numa_maps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import re

from kvm_tuning.core.observed import Arguments, Ksm, Memory, Ram, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests.qemu_args import number

_HEAD = re.compile(r'([0-9a-f]{1,16})-([0-9a-f]{1,16}) \S+ \S+ \S+ \d+ *(.*)')
_KIB = re.compile(r' *([0-9]{1,18}) kB\Z')
_NODE = re.compile(r'N([0-9]{1,9})=([0-9]{1,18})\Z')
_PLACED = re.compile(r'([0-9a-f]{1,16}) ')
_PAGE = re.compile(r' kernelpagesize_kB=([0-9]{1,9})')
_BYTES = {'': 1 << 20, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40}
_SIZE = re.compile(r'([0-9]{1,18})([kmgt]?)(?:i?b)?\Z', re.IGNORECASE)
#: QEMU excludes guest RAM from its children (MADV_DONTFORK), and ROMs and
#: video memory, but nothing else of this size.
_DONTFORK = 'dc'
_MERGEABLE = 'mg'


@dataclass(slots=True)
class _Mapping:
    """One mapping of the process: sizes in KiB."""

    start: int
    end: int
    name: str
    sizes: dict[str, int] = field(default_factory=dict)
    flags: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Placed:
    """One mapping in numa_maps."""

    policy: str
    nodes_kib: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Backend:
    """A memory backend of QEMU: guest RAM."""

    id: str
    size_kib: int
    cell: int | None
    nodes: tuple[int, ...]


def read(process: Process, arguments: Arguments | Unknown) -> Memory:
    """Return the memory of a guest."""
    return Memory(_ram(process, arguments), ksm(process))


def ksm(process: Process) -> Ksm | Unknown:
    """Return what KSM does with a process."""
    stat = process.fields('ksm_stat')
    if isinstance(stat, Unknown):
        return stat
    try:
        # ksm_merging_pages is of Linux 6.1, ksm_rmap_items of 5.19.
        return Ksm(int(stat['ksm_merging_pages']), int(stat['ksm_rmap_items']))
    except (KeyError, ValueError):
        return Unknown(
            f'/proc/{process.pid}/ksm_stat does not count merging pages'
        )


def _ram(
    process: Process, arguments: Arguments | Unknown
) -> tuple[Ram, ...] | Unknown:
    if isinstance(arguments, Unknown):
        return arguments
    text = process.text('smaps')
    if isinstance(text, Unknown):
        return text
    blocks = _joined(_guest_mappings(text))
    placed = _numa_maps(process)
    backends = list(_backends(arguments))
    found = []
    for backend in backends:
        block = _take(backend, blocks, placed)
        if block is None:
            return Unknown(
                f'no mapping of QEMU has the size of its memory backend '
                f'{backend.id}, {backend.size_kib} KiB'
            )
        found.append(_block(backend, block, placed))
    return tuple(found) or Unknown('QEMU was started without a memory size')


def _guest_mappings(smaps: str) -> Iterator[_Mapping]:
    """Yield the mappings that children of QEMU do not inherit."""
    now: _Mapping | None = None
    for line in smaps.splitlines():
        match = _HEAD.match(line)
        if match:
            now = _Mapping(int(match[1], 16), int(match[2], 16), match[3])
            continue
        if now is None:
            continue
        key, _colon, value = line.partition(':')
        if key == 'VmFlags':
            now.flags = frozenset(value.split())
            if _DONTFORK in now.flags:
                yield now
            now = None
        elif size := _KIB.match(value):
            now.sizes[key] = int(size[1])


def _joined(mappings: Iterator[_Mapping]) -> list[list[_Mapping]]:
    """Join adjacent mappings into blocks: the kernel splits a block where a
    part of it has other flags or another policy.
    """
    runs: list[list[_Mapping]] = []
    for each in mappings:
        last = runs[-1][-1] if runs else None
        if last and last.end == each.start and last.name == each.name:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _backends(arguments: Arguments) -> Iterator[_Backend]:
    cells = {
        str(numa['memdev']): number(numa.get('nodeid'))
        for numa in arguments.of('numa')
        if 'memdev' in numa
    }
    count = 0
    used = _used(arguments) | set(cells)
    for each in arguments.of('object'):
        id, size = str(each.get('id')), kib(each.get('size'))
        # Shared memory and NVDIMMs have backends too, but are not RAM.
        if id in used and size:
            count += 1
            nodes = _nodes(each.get('host-nodes'))
            yield _Backend(id, size, cells.get(id), nodes)
    if not count:
        # QEMU then makes one backend for all of -m.
        for memory in arguments.of('m'):
            size = kib(memory.get('size') or memory.get(''), '')
            if size:
                yield _Backend('ram', size, None, ())


def _used(arguments: Arguments) -> set[str]:
    """Return the backends of the machine itself and of its DIMMs."""
    return {
        str(machine['memory-backend'])
        for machine in arguments.of('machine')
        if 'memory-backend' in machine
    } | {
        str(device.get('memdev'))
        for device in arguments.of('device')
        if 'pc-dimm' in (device.get('driver'), device.get(''))
    }


def _nodes(value: object) -> tuple[int, ...]:
    """Parse JSON's [0, 1] or keyval's "0-1" (or a list of them)."""
    found: list[int] = []
    for each in value if isinstance(value, list) else [value]:
        first, _dash, last = str(each).partition('-')
        start = number(first)
        if start is not None:
            stop = number(last) or start
            found += range(start, min(stop, start + 1024) + 1)
    return tuple(found)


def kib(value: object, default: str = 'b') -> int | None:
    """Convert a size of QEMU to KiB: bytes (MiB in -m), or with a suffix."""
    match = _SIZE.match(str(value))
    if match is None:
        return None
    unit = match[2].lower()
    factor = 1 if not unit and default == 'b' else _BYTES[unit]
    return int(match[1]) * factor >> 10


def _take(
    backend: _Backend,
    blocks: list[list[_Mapping]],
    placed: Mapping[int, _Placed] | Unknown,
) -> list[_Mapping] | None:
    """Remove the block of ``backend`` from ``blocks`` and return it.

    It is found by the backend's name in the name of its file, else by size,
    then by the nodes of its policy. QEMU maps downwards in the order of its
    arguments, so the last block belongs to the first backend.
    """
    same = [b for b in blocks if _extent(b) == backend.size_kib]
    for block in same:
        # qemu_back_mem.ram-node0.XXXXXX, or ..._objects_ram-node0.XXXXXX
        if re.search(
            rf'[._]{re.escape(backend.id)}\.\w+( |\Z)', block[0].name
        ):
            blocks.remove(block)
            return block
    bound = [b for b in same if _bound(b, backend, placed)]
    for block in (bound or same)[::-1]:
        blocks.remove(block)
        return block
    return None


def _bound(
    block: list[_Mapping],
    backend: _Backend,
    placed: Mapping[int, _Placed] | Unknown,
) -> bool:
    if isinstance(placed, Unknown):
        return False
    there = placed.get(block[0].start)
    nodes = set(_nodes((there.policy if there else '').partition(':')[2]))
    return nodes == set(backend.nodes)


def _extent(block: list[_Mapping]) -> int:
    return (block[-1].end - block[0].start) >> 10


def _block(
    backend: _Backend,
    block: list[_Mapping],
    placed: Mapping[int, _Placed] | Unknown,
) -> Ram:
    def total(*keys: str) -> int:
        return sum(m.sizes.get(key, 0) for m in block for key in keys)

    return Ram(
        backend=backend.id,
        cell=backend.cell,
        size_kib=backend.size_kib,
        page_kib=min(m.sizes.get('KernelPageSize', 0) for m in block),
        # Rss leaves out hugetlbfs (kernel's filesystems/proc, "smaps").
        resident_kib=total('Rss', 'Shared_Hugetlb', 'Private_Hugetlb'),
        anon_huge_kib=total('AnonHugePages', 'ShmemPmdMapped'),
        locked_kib=total('Locked'),
        mergeable=any(_MERGEABLE in (m.flags or ()) for m in block),
        policy=_policy(block, placed),
        nodes_kib=_nodes_kib(block, placed),
    )


def _policy(
    block: list[_Mapping], placed: Mapping[int, _Placed] | Unknown
) -> str | Unknown:
    if isinstance(placed, Unknown):
        return placed
    policies = {placed[m.start].policy for m in block if m.start in placed}
    if len(policies) == 1:
        return policies.pop()
    return Unknown(f'numa_maps shows {len(policies)} policies for one block')


def _nodes_kib(
    block: list[_Mapping], placed: Mapping[int, _Placed] | Unknown
) -> Mapping[int, int] | Unknown:
    if isinstance(placed, Unknown):
        return placed
    total: dict[int, int] = {}
    for mapping in block:
        there = placed.get(mapping.start)
        for node, kib in there.nodes_kib.items() if there else ():
            total[node] = total.get(node, 0) + kib
    return total


def numa_maps(
    process: Process,
) -> tuple[Mapping[int, int], ...] | Unknown:
    """Return the memory of each mapping by host cell, in KiB."""
    placed = _numa_maps(process)
    if isinstance(placed, Unknown):
        return placed
    return tuple(each.nodes_kib for each in placed.values())


def _numa_maps(process: Process) -> Mapping[int, _Placed] | Unknown:
    """Return numa_maps by the start of each mapping (numa(7))."""
    text = process.text('numa_maps')
    if isinstance(text, Unknown):
        return text
    found = {}
    for line in text.splitlines():
        start = _PLACED.match(line)
        if start is None:
            continue
        rest = line[start.end() :]
        # A policy may have a blank: "prefer (many):0".
        policy = re.match(r'(?:prefer \(many\)|weighted interleave)?\S*', rest)
        page = _PAGE.search(rest)
        page_kib = int(page[1]) if page else 0
        pages = {}
        for word in rest.split():
            if match := _NODE.match(word):
                pages[int(match[1])] = int(match[2])
        found[int(start[1], 16)] = _Placed(
            policy[0] if policy else '',
            {node: count * page_kib for node, count in pages.items()},
        )
    return found
