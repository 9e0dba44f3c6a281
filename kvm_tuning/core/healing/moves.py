"""In which order threads move, so that hardly any pCPU is held twice.

1. A move whose target nobody holds comes first, then the one into the pCPU
   that it has left, and so on: chains double nothing.
2. What is left are cycles. Where the NUMA cell has a free pCPU, the first
   thread of a cycle steps aside onto it, the others follow backwards, and the
   first one comes home: one move more, and nothing doubled.
3. Where it has none, the first goes at once, then whoever it has met goes on:
   one pCPU is held twice at any time, and no thread shares for longer than
   two moves.

Every beginning of the order leaves each thread at its old place, at its new
one, or at the free pCPU. So after an interruption the same function orders
the rest, or all of it back, from where the threads really are.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import Exhausted

Thread = TypeVar('Thread')


@dataclass(frozen=True, slots=True)
class Move(Generic[Thread]):
    """One thread to one pCPU."""

    thread: Thread
    source: int
    target: int
    #: Somebody else is on the target until the next move.
    doubles: bool = False


def order(
    places: Mapping[Thread, tuple[int, int]],
    free: Collection[int],
    never_double: Collection[Thread] = (),
) -> list[Move[Thread]]:
    """Return the moves of threads of one NUMA cell, in their order.

    :param places: the present and the future pCPU of each thread.
    :param free: pCPUs of the cell that nobody holds and that may be used for
        a moment: not the idle thread of an isolated guest's core, none that
        the host keeps or has switched off.
    :param never_double: threads that may not share a pCPU even for a moment,
        such as those of a real-time scheduler.
    :raises Exhausted: one of these is in a cycle, and no pCPU is free.
    """
    return _Order(places, free, never_double).run()


class _Order(Generic[Thread]):
    def __init__(
        self,
        places: Mapping[Thread, tuple[int, int]],
        free: Collection[int],
        never_double: Collection[Thread],
    ) -> None:
        #: Two threads only where an interrupted order has left them so.
        self.holders: dict[int, set[Thread]] = defaultdict(set)
        for thread, (now, _target) in places.items():
            self.holders[now].add(thread)
        self.waiting = {
            thread: place
            for thread, place in places.items()
            if place[0] != place[1]
        }
        #: Who wants a pCPU.
        self.wants = {
            target: thread for thread, (_, target) in self.waiting.items()
        }
        self.free = {cpu for cpu in free if not self.holders.get(cpu)}
        self.never_double = never_double
        self.done: list[Move[Thread]] = []

    def run(self) -> list[Move[Thread]]:
        open_ends = [cpu for cpu in self.wants if not self.holders.get(cpu)]
        for cpu in sorted(open_ends):
            self._chain(cpu)
        while self.waiting:
            first = next(iter(self.waiting))
            self._cycle(self._members(first))
        return self.done

    def _chain(self, cpu: int) -> None:
        """Fill a pCPU that nobody holds, then the one that is left."""
        while (thread := self.wants.get(cpu)) in self.waiting:
            assert thread is not None
            self.free.discard(cpu)
            cpu = self._move(thread, cpu)
            if self.holders[cpu]:
                # Whoever it has shared it with is still there.
                return
        # Nobody wants it: it can be a cycle's.
        self.free.add(cpu)

    def _move(self, thread: Thread, cpu: int, doubles: bool = False) -> int:
        """Move a thread home; return the pCPU that it leaves."""
        source, _target = self.waiting.pop(thread)
        self.holders[source].discard(thread)
        self.holders[cpu].add(thread)
        self.done.append(Move(thread, source, cpu, doubles))
        return source

    def _members(self, first: Thread) -> list[Thread]:
        """Return a cycle: each goes where the next one is."""
        members = [first]
        while True:
            _source, target = self.waiting[members[-1]]
            (thread,) = self.holders[target]
            if thread == first:
                return members
            members.append(thread)

    def _cycle(self, members: list[Thread]) -> None:
        if self.free:
            self._aside(members, min(self.free))
        elif blocked := [m for m in members if m in self.never_double]:
            raise Exhausted(
                f'{blocked[0]} cannot be exchanged: it may not share a pCPU '
                f'even for a moment, and none is free in its NUMA cell '
                f'(pCPUs {cpuset.format(self.wants)} are exchanged)'
            )
        else:
            self._at_once(members)

    def _aside(self, members: list[Thread], buffer: int) -> None:
        first = members[0]
        source, target = self.waiting[first]
        self.done.append(Move(first, source, buffer))
        self.waiting[first] = buffer, target
        self.holders[source].discard(first)
        self.holders[buffer].add(first)
        for thread in reversed(members[1:]):
            self._move(thread, self.waiting[thread][1])
        self._move(first, target)

    def _at_once(self, members: list[Thread]) -> None:
        last = members[-1]
        for thread in members:
            target = self.waiting[thread][1]
            self._move(thread, target, doubles=thread != last)
