"""Fill the cores of a pool with vCPUs: siblings together, little stranded.

A pool of cores is a tuple of counts: ``counts[t]`` cores have *t* usable
threads. Filling takes the fewest cores and, among the ways to do that, one
that strands the fewest threads, which are the unused threads of used cores.
"""

from collections.abc import Sequence
from functools import lru_cache

#: (threads of the core, vCPUs on it, number of such cores)
Take = tuple[int, int, int]


def fill(counts: Sequence[int], vcpus: int) -> tuple[int, int]:
    """Return how many cores ``vcpus`` take and how many threads they strand.

    The pool must be large enough.
    """
    if len(counts) > 3:
        taken = takes(tuple(counts), vcpus)
        return (
            sum(number for _, _, number in taken),
            sum((size - used) * number for size, used, number in taken),
        )
    pairs = counts[2] if len(counts) == 3 else 0
    full = vcpus >> 1
    if full > pairs:
        full = pairs
    rest = vcpus - 2 * full
    if rest == 1 and full < pairs and not counts[1]:
        return full + 1, 1
    return full + rest, 0


def takes(counts: tuple[int, ...], vcpus: int) -> list[Take]:
    """Return which cores ``vcpus`` take, the largest first.

    All but one are filled. Cores that a single vCPU has to itself are at the
    end.
    """
    if len(counts) == 3:
        return _takes_of_pairs(counts, vcpus)
    cores, room = 0, 0
    for size in range(len(counts) - 1, 0, -1):
        short = vcpus - room
        number = min(counts[size], -(-short // size))
        cores += number
        room += number * size
        if room >= vcpus:
            break
    for total in range(vcpus, room + 1):
        chosen = _exactly(counts, cores, total)
        if chosen is not None:
            break
    else:
        raise ValueError(f'{vcpus} vCPUs do not fit {counts}')
    taken = [(s, s, n) for s, n in enumerate(chosen) if n]
    if total > vcpus:
        # Fewer cores would not be enough, so one core takes all of the slack.
        size, _, number = taken[0]
        taken[:1] = [(size, size - (total - vcpus), 1)]
        if number > 1:
            taken.append((size, size, number - 1))
    return sorted(taken, key=lambda take: (-take[1], -take[0]))


def _takes_of_pairs(counts: tuple[int, ...], vcpus: int) -> list[Take]:
    """As :func:`takes`, for cores of at most two threads."""
    full = min(vcpus >> 1, counts[2])
    rest = vcpus - 2 * full
    taken = [(2, 2, full)] if full else []
    if rest == 1 and full < counts[2] and not counts[1]:
        taken.append((2, 1, 1))
    elif rest:
        taken.append((1, 1, rest))
    return taken


@lru_cache(maxsize=4096)
def _exactly(
    counts: tuple[int, ...], cores: int, total: int
) -> tuple[int, ...] | None:
    """Return how many cores of each size make ``total``, if any do."""
    if len(counts) == 1:
        return (0,) if cores == total == 0 else None
    size = len(counts) - 1
    for number in range(min(counts[-1], cores, total // size), -1, -1):
        rest = _exactly(counts[:-1], cores - number, total - number * size)
        if rest is not None:
            return (*rest, number)
    return None


def fill_isolated(counts: Sequence[int], vcpus: int) -> tuple[int, int]:
    """As :func:`fill`, for vCPUs that each have a core."""
    return vcpus, sum(
        (size - 1) * number for size, _, number in isolated(counts, vcpus)
    )


def isolated(counts: Sequence[int], vcpus: int) -> list[Take]:
    """As :func:`takes`, for vCPUs that each have a core, small cores first."""
    taken = []
    for size in range(1, len(counts)):
        number = min(counts[size], vcpus)
        if number:
            taken.append((size, 1, number))
            vcpus -= number
    return taken
