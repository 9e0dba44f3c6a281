"""Sample what threads of guests and processes of others do."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
import os
import re

from kvm_tuning.core.assess.guest import Activity, Foreign
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Kind, Thread, Unknown
from kvm_tuning.core.whole import number
from kvm_tuning.host.access.proc import Process, processes

#: A process of others that took less of a pCPU, in per cent, is no burden.
BUSY_PERCENT = 5
#: Kernel threads that work for one guest: vhost's and KVM's.
_OF_GUESTS = re.compile(r'vhost-[0-9]+\Z|kvm-')
#: /proc/PID/stat: the name may have blanks and parentheses (proc(5)).
_STAT = re.compile(r'\d+ \((.*)\) (.*)\Z', re.DOTALL)
#: Places after the name, from 0: utime, stime, processor.
_UTIME, _STIME, _PROCESSOR = 11, 12, 36


@dataclass(frozen=True, slots=True)
class _Stat:
    name: str
    ticks: int
    pcpu: int


def vcpus(
    process: Process, threads: Iterable[Thread]
) -> Mapping[int, Activity] | Unknown:
    """Return what each vCPU's thread has done since it was started.

    :raises InventoryUnreadable: the process has ended.
    """
    found = {}
    reason: Unknown = Unknown('it has no vCPU whose thread is known')
    for thread in threads:
        if thread.kind is not Kind.VCPU:
            continue
        text = process.text(f'task/{thread.tid}/schedstat')
        words = [] if isinstance(text, Unknown) else text.split()
        run, wait = (number(word) for word in (*words, '', '')[:2])
        if run is None or wait is None:
            reason = (
                text
                if isinstance(text, Unknown)
                else Unknown(f'schedstat of thread {thread.tid}: {text!r}')
            )
            continue
        moves = _moves(process, thread.tid)
        found[thread.tid] = Activity(run, wait, moves)
    return found or reason


def _moves(process: Process, tid: int) -> int | None:
    """Return how often a thread was moved, if the kernel counts it
    (CONFIG_SCHED_DEBUG).
    """
    text = process.text(f'task/{tid}/sched')
    if isinstance(text, Unknown):
        return None
    for line in text.splitlines():
        if line.startswith('se.nr_migrations'):
            return number(line.rpartition(':')[2].strip())
    return None


def between(
    first: Mapping[int, Activity] | Unknown,
    second: Mapping[int, Activity] | Unknown,
) -> Mapping[int, Activity] | Unknown:
    """Return what threads did between two samples."""
    if isinstance(first, Unknown):
        return first
    if isinstance(second, Unknown):
        return second
    return {
        tid: Activity(
            later.run_ns - first[tid].run_ns,
            later.wait_ns - first[tid].wait_ns,
            None
            if later.moves is None or (before := first[tid].moves) is None
            else later.moves - before,
        )
        for tid, later in second.items()
        if tid in first
    }


class Others:
    """The processes below ``root`` that are not guests, sampled twice."""

    def __init__(self, root: str, guests: Collection[int]) -> None:
        self._root = root
        # What this process does ends with the sample.
        own = {os.getpid()} if os.path.realpath(root) == '/' else set()
        self._guests = frozenset(guests) | own
        self._before = dict(self._stats())

    def busy(self, seconds: float) -> tuple[Foreign, ...]:
        """Return those that used CPU time in the seconds since the first
        sample.
        """
        return tuple(self._busy(seconds))

    def _busy(self, seconds: float) -> Iterator[Foreign]:
        whole = seconds * os.sysconf('SC_CLK_TCK')
        for pid, now in self._stats():
            before = self._before.get(pid)
            if before is None or _OF_GUESTS.match(now.name):
                continue
            percent = int(100 * (now.ticks - before.ticks) / whole)
            if percent >= BUSY_PERCENT:
                busiest = self._busiest(pid) or now
                yield Foreign(pid, now.name, busiest.pcpu, percent)

    def _stats(self) -> Iterator[tuple[int, _Stat]]:
        for pid in processes(self._root):
            if pid in self._guests:
                continue
            try:
                found = _stat(Process(pid, self._root), 'stat')
            except InventoryUnreadable:
                continue
            if found is not None:
                yield pid, found

    def _busiest(self, pid: int) -> _Stat | None:
        """Return the thread that has used the most CPU time."""
        try:
            process = Process(pid, self._root)
            tids = process.names('task')
            if isinstance(tids, Unknown):
                return None
            found = [_stat(process, f'task/{tid}/stat') for tid in tids]
        except InventoryUnreadable:
            return None
        return max(
            (each for each in found if each is not None),
            key=lambda each: each.ticks,
            default=None,
        )


def _stat(process: Process, name: str) -> _Stat | None:
    text = process.text(name)
    match = None if isinstance(text, Unknown) else _STAT.match(text.strip())
    if match is None:
        return None
    words = match[2].split()
    places = (_UTIME, _STIME, _PROCESSOR)
    if len(words) <= _PROCESSOR:
        return None
    utime, stime, pcpu = (number(words[place]) for place in places)
    if utime is None or stime is None or pcpu is None:
        return None
    return _Stat(match[1], utime + stime, pcpu)
