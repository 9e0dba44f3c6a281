"""Where the memory of a guest is, and in what pages."""

from collections.abc import Iterator

from kvm_tuning.core.assess.case import Case, ids, seen
from kvm_tuning.core.assess.finding import Finding, Where, found

#: Less remote memory than this, in per cent, is what QEMU itself uses.
REMOTE_PERCENT = 5
#: A guest with less memory than this profits little from large pages: the
#: second level of a TLB has some thousand entries of 4 KiB.
SMALL_KIB = 64 << 10
#: Fewer transparent huge pages than this, in per cent.
HUGE_PERCENT = 50
#: What a process may have swapped out though nothing is missing to its guest.
SWAPPED_KIB = 1 << 10


def remote(case: Case) -> Iterator[Finding]:
    """Yield memory on cells where no vCPU may run."""
    away, total = away_kib(case)
    percent = 100 * sum(away.values()) // total if total else 0
    if percent >= REMOTE_PERCENT:
        yield found(
            'memory-remote',
            f'{percent} % of {total >> 10} MiB on '
            f'{ids("NUMA cell", away)}, vCPUs on '
            f'{ids("NUMA cell", case.place.cells)}',
            Where(cells=frozenset(away)),
        )


def away_kib(case: Case) -> tuple[dict[int, int], int]:
    """Return the memory on cells where no vCPU may run, by cell, and all of
    it. Where vCPUs may run on every cell, none is away, however much there
    is.

    :raises Unseen: where the memory or the vCPUs are is not known.
    """
    inventory = case.host.inventory
    if len(inventory.cells) < 2 or case.place.cells >= inventory.cell.keys():
        return {}, 0
    cells_kib = seen(seen(case.guest.memory).cells_kib)
    away = {
        cell: kib
        for cell, kib in cells_kib.items()
        if kib and cell not in case.place.cells
    }
    return away, sum(cells_kib.values())


def small_pages(case: Case) -> Iterator[Finding]:
    """Yield that most of the memory is neither in huge pages nor in
    transparent ones.
    """
    memory = seen(case.guest.memory)
    small_kib = memory.resident_kib - memory.huge_kib
    if small_kib < SMALL_KIB or small_kib < memory.huge_kib:
        return
    transparent_kib = seen(memory.transparent_kib)
    if 100 * transparent_kib < HUGE_PERCENT * small_kib:
        large_kib = memory.huge_kib + transparent_kib
        yield found(
            'memory-small-pages',
            f'{large_kib >> 10} of {memory.resident_kib >> 10} MiB in huge '
            f'pages',
        )


def merged(case: Case) -> Iterator[Finding]:
    """Yield pages that KSM has merged."""
    pages = seen(case.guest.merged_pages)
    if pages:
        mib = pages * case.host.inventory.page_size_kib >> 10
        yield found('memory-merged', f'{pages} pages ({mib} MiB) merged')


def swapped(case: Case) -> Iterator[Finding]:
    """Yield memory that is swapped out."""
    memory = seen(case.guest.memory)
    if memory.swapped_kib >= SWAPPED_KIB:
        total_kib = memory.swapped_kib + memory.resident_kib
        yield found(
            'memory-swapped',
            f'{memory.swapped_kib >> 10} of {total_kib >> 10} MiB swapped out',
        )


def locked(case: Case) -> Iterator[Finding]:
    """Yield memory that is locked. Huge pages cannot be swapped anyway."""
    memory = seen(case.guest.memory)
    if memory.locked_kib >= SMALL_KIB and not memory.huge_kib:
        yield found(
            'memory-locked',
            f'{memory.locked_kib >> 10} of {memory.resident_kib >> 10} MiB '
            f'locked',
        )
