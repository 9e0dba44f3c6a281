"""``[huge_pages]``: huge pages by NUMA cell and size.

See the kernel's Documentation/admin-guide/mm/hugetlbpage.rst. A write succeeds
even when the kernel made fewer pages, so the value read back counts. The
kernel spreads a count on its command line over the cells as it likes, unless
the argument names them (``hugepages=0:2,1:2``, since Linux 5.16).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import re
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.core.inventory import Cell, PagePool
from kvm_tuning.core.knobs import Size
from kvm_tuning.host.inventory import architecture
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Argument, Item, Note, Refusal, sysfs
from kvm_tuning.host.prep.groups.group import Group, Rivals
from kvm_tuning.host.prep.kinds import command_line

CONCERN = 'huge_pages'
#: The word of ``allow``.
FREE = 'free-memory'
_NODES_SINCE = (5, 16)
_GIB_KIB = 1 << 20

OPTIONS = (
    cfg.MultiOpt(
        'pages',
        item_type=types.Dict(),
        help="""
How many huge pages a NUMA cell is to have, such as
``node:0,size:2048,count:512`` (sizes in KiB, or with a unit: ``1GB``). Give
it several times for several cells or sizes. What the kernel could not make
is told, with the cell. Pages in use are never taken away. What is not named
is not touched.
""",
    ),
    cfg.BoolOpt(
        'kernel_arguments',
        default=False,
        help="""
Whether pages of 1 GiB and more are asked for on the kernel's command line,
too: at boot memory is still in one piece. Kernels from 5.16 on are told how
many in each cell, older ones spread the number as they like; host-prep puts
that right afterwards as far as memory allows.
""",
    ),
    cfg.ListOpt(
        'allow',
        default=[],
        item_type=types.String(choices=(FREE,)),
        help="""
What may be done although it is refused by default. ``free-memory``: ask for
more huge pages than the cell's free memory and half of its page cache hold:
the kernel makes fewer, and may push out what others use. More than the memory
of a cell is never asked for.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted pools."""

    #: (cell, size in KiB) to the count.
    pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    #: Whether pages of 1 GiB and more are also requested at boot.
    kernel_arguments: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Cells, kernel version and command line of the host."""

    cells: tuple[Cell, ...]
    #: Whether the kernel has cells; without, it has one pool of each size.
    numa: bool
    kernel: tuple[int, int]
    command_line: str
    #: What is free of each cell; cells of which nobody knows are left out.
    available_kib: Mapping[int, int] = field(default_factory=dict)
    x86: bool = True


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing.

    :raises ConfigInvalid: an entry of ``pages`` is not one.
    """
    found: dict[tuple[int, int], int] = {}
    for entry in conf.huge_pages.pages or ():
        what = '[huge_pages] pages = ' + ','.join(
            f'{key}:{value}' for key, value in entry.items()
        )
        try:
            size = Size().parse(entry['size'])
            key = int(entry['node']), int(size)
            count = int(entry['count'])
        except (KeyError, ValueError) as error:
            raise ConfigInvalid(
                f'{what[:128]}: want node, size and count, such as '
                f'node:0,size:2048,count:512'
            ) from error
        if count < 0 or len(entry) != 3:
            raise ConfigInvalid(
                f'{what[:128]}: want node, size and a count of 0 or more'
            )
        if found.setdefault(key, count) != count:
            raise ConfigInvalid(
                f'{what[:128]}: the same cell and size is given another count'
            )
    if not found:
        return None
    return Wanted(found, conf.huge_pages.kernel_arguments)


def read(host: Host) -> State:
    """Read cells, kernel version and command line of the host."""
    return State(
        host.inventory.cells,
        bool(host.tree.names('sys/devices/system/node/node0')),
        host.kernel,
        host.command_line,
        {
            cell.id: free
            for cell in host.inventory.cells
            if (free := _available_kib(host, cell)) is not None
        },
        architecture.read(host.tree)
        in (architecture.X86, architecture.UNKNOWN),
    )


def path(cell: int, size_kib: int, numa: bool = True) -> str:
    """Return the path of the page count of a cell and size."""
    base = f'sys/devices/system/node/node{cell}' if numa else 'sys/kernel/mm'
    return f'{base}/hugepages/hugepages-{size_kib}kB/nr_hugepages'


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, arguments, notes and refusals for ``wanted``.

    Large pages come first, while memory is least fragmented.
    """
    cells = {cell.id: cell for cell in state.cells}
    ordered = sorted(wanted.pages, key=lambda key: (-key[1], key[0]))
    for cell, size in ordered:
        count = wanted.pages[cell, size]
        subject = f'{size} KiB in cell {cell}'
        if cell not in cells:
            known = ', '.join(str(number) for number in cells)
            yield Refusal(
                CONCERN,
                subject,
                f'this host does not have this cell; it has {known}',
            )
            continue
        pool = _pool(cells[cell], size)
        if pool is None:
            yield _unknown(state, cells[cell], subject, size)
            continue
        used = pool.total - pool.free
        if count < used:
            yield Refusal(
                CONCERN,
                subject,
                f'{used} pages are in use and cannot be freed; set at least '
                f'{used}, or stop guests first',
            )
            continue
        yield from _beyond(wanted, state, cells[cell], size)
        yield sysfs(
            CONCERN,
            path(cell, size, state.numa),
            str(pool.total),
            str(count),
            'memory for guests that request pages of this size',
            title=f'huge pages of {subject}',
        )
    if wanted.kernel_arguments:
        yield from _arguments(wanted, state)
    if wanted.pages:
        yield from _notes(state)


def _pool(cell: Cell, size_kib: int) -> PagePool | None:
    for pool in cell.pages:
        if pool.size_kib == size_kib:
            return pool
    return None


def _beyond(
    wanted: Wanted, state: State, cell: Cell, size: int
) -> Iterator[Refusal]:
    """Yield why the pools that a cell is to have do not fit into it; for the
    size that is looked at only where it grows.
    """
    pools = {pool.size_kib: pool.total for pool in cell.pages}
    grown = wanted.pages[cell.id, size] - pools[size]
    if grown <= 0:
        return
    after = {
        each: wanted.pages.get((cell.id, each), n) for each, n in pools.items()
    }
    subject = f'{size} KiB in cell {cell.id}'
    total_kib = sum(each * count for each, count in after.items())
    memory_kib = cell.memory_bytes // 1024
    if memory_kib and total_kib > memory_kib:
        yield Refusal(
            CONCERN,
            subject,
            f'the huge pages of cell {cell.id} would be {total_kib} KiB, and '
            f'it has {memory_kib} KiB of memory',
        )
        return
    needed_kib = sum(
        each * (after[each] - count) for each, count in pools.items()
    )
    free_kib = state.available_kib.get(cell.id)
    if free_kib is None:
        yield Refusal(
            CONCERN,
            subject,
            f'it needs {needed_kib} KiB more, and the kernel does not show '
            f'what memory cell {cell.id} has free',
            FREE,
        )
    elif needed_kib > free_kib:
        yield Refusal(
            CONCERN,
            subject,
            f'it needs {needed_kib} KiB more, and cell {cell.id} has only '
            f'{free_kib} KiB free or in its page cache: the kernel would make '
            f'fewer pages, and push out what others use; stop or move guests '
            f'first',
            FREE,
        )


def _available_kib(host: Host, cell: Cell) -> int | None:
    """Return the KiB of a cell that are free or can be made so: half of its
    page cache (mm/show_mem.c, si_mem_available, holds no more than that
    half for needed); None: the kernel does not show it.
    """
    base = f'sys/devices/system/node/node{cell.id}'
    text = host.tree.text(f'{base}/meminfo')
    if text is None:
        text = host.tree.text('proc/meminfo')
        if text is None or len(host.inventory.cells) > 1:
            return None
    found = {
        match[1]: int(match[2])
        for match in re.finditer(r'([\w()]+):\s+(\d{1,18}) kB', text)
    }
    if 'MemFree' not in found:
        return None
    cache = sum(
        found.get(name, 0)
        for name in ('Active(file)', 'Inactive(file)', 'SReclaimable')
    )
    return found['MemFree'] + cache // 2


def _unknown(state: State, cell: Cell, subject: str, size_kib: int) -> Refusal:
    sizes = ', '.join(f'{pool.size_kib} KiB' for pool in cell.pages)
    text = (
        f'this host does not have pages of this size; it has {sizes or "none"}'
    )
    if size_kib == _GIB_KIB and state.x86:
        text += '; pages of 1 GiB take a CPU with the flag pdpe1gb'
    return Refusal(CONCERN, subject, text)


def _arguments(wanted: Wanted, state: State) -> Iterator[Argument]:
    """Yield the kernel arguments of large pages, each size followed by its
    count.
    """
    sizes = sorted({size for _cell, size in wanted.pages if size >= _GIB_KIB})
    for size in sizes:
        counts = {
            cell: count
            for (cell, each), count in sorted(wanted.pages.items())
            if each == size and count
        }
        if not counts:
            continue
        if state.kernel >= _NODES_SINCE and state.numa:
            count = ','.join(f'{cell}:{n}' for cell, n in counts.items())
        else:
            count = str(sum(counts.values()))
        yield Argument(
            'hugepagesz',
            f'{size // _GIB_KIB}G hugepages={count}',
            CONCERN,
            'large pages are most reliably found while memory is empty',
        )


def _notes(state: State) -> Iterator[Note]:
    argument = command_line.value(state.command_line, 'hugepages')
    if argument is not None and ':' not in argument:
        yield Note(
            CONCERN,
            f'the kernel was started with hugepages={argument}, which it '
            f'spreads over the cells as it likes',
        )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'nr_hugepages|hugepages=',
        arguments=('hugepages',),
        attributes=(
            r'sys/(kernel/mm|devices/system/node/node\d+)/hugepages/'
            r'hugepages-\d+kB/nr_hugepages',
            r'proc/sys/vm/nr_hugepages(_mempolicy)?',
        ),
    ),
    persisted='the unit, at each boot, and kernel arguments for large pages',
    undone='the former numbers, and kernel arguments to the byte',
)
