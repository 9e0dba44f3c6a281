"""What a run of the memory workload has counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The signature of QEMU's emulation (CPUID leaf 0x40000000): what takes how
#: long there says nothing about hardware.
TCG = 'TCGTCGTCGTCG'


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in one run; None: the kernel does not show it."""

    #: How many reads found their page in the cell of their thread, 0 to 1.
    local_share: float | None
    #: Page faults while the threads read, and while the buffers were filled.
    faults: int | None
    fill_faults: int | None
    #: How much of the buffers is in transparent huge pages, 0 to 1.
    huge_share: float | None
    #: How often the threads were moved to another pCPU.
    migrations: int | None
    #: How often a thread slept, and how often another one took its place.
    voluntary_switches: int | None
    involuntary_switches: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program."""

    counts: Counts
    #: The sum of all words that were read, in hexadecimal: equal for equal
    #: parameters, wherever it runs.
    checksum: str
    #: How long the slower thread has read.
    ns: int
    #: CPUID's name of the hypervisor; empty: none, or not an x86 processor.
    hypervisor: str


def read(printed: Mapping[str, Any], size_mib: int) -> Run:
    """Return what the program has printed.

    :param size_mib: the size of each buffer.
    :raises KeyError, TypeError, ValueError: it has printed something else.
    """
    threads = printed['threads']
    total = sum(int(each['checksum'], 16) for each in threads)
    huge = printed['huge_kib']
    return Run(
        Counts(
            local_share=_local_share(printed),
            faults=_total(threads, 'faults'),
            fill_faults=printed['fill_faults'],
            huge_share=None if huge is None else huge / (size_mib << 11),
            migrations=_total(threads, 'migrations'),
            voluntary_switches=_total(threads, 'voluntary_switches'),
            involuntary_switches=_total(threads, 'involuntary_switches'),
        ),
        f'{total % (1 << 64):016x}',
        max(int(each['ns']) for each in threads),
        str(printed['hypervisor']),
    )


def _local_share(printed: Mapping[str, Any]) -> float | None:
    """Return the share of reads that are local: each page is as likely to be
    read, and each thread was seen in some cells.
    """
    pages = printed['pages']
    if pages is None:
        return None
    count = sum(pages.values()) + printed['elsewhere']
    shares = []
    for thread in printed['threads']:
        looks = sum(thread['looks'].values())
        if not looks or not count:
            return None
        shares.append(
            sum(
                seen / looks * pages.get(cell, 0) / count
                for cell, seen in thread['looks'].items()
            )
        )
    return float(sum(shares) / len(shares))


def _total(threads: list[Mapping[str, Any]], name: str) -> int | None:
    values = [thread[name] for thread in threads]
    return None if None in values else int(sum(values))
