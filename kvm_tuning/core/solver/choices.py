"""Choose among several L3 domains, for guests that need more than one."""

from collections.abc import Iterator, Sequence
from math import comb

from kvm_tuning.core.solver.stock import Profile

#: Ways that are looked at one by one before a rule of thumb decides: it
#: bounds the time on large and fragmented hosts. Hosts of up to eight domains
#: a cell never come near it.
MOST = 300


def partly(
    profiles: Sequence[Profile], count: int, rest: int
) -> Iterator[tuple[Profile, ...]]:
    """Yield ways to choose ``count`` domains that hold ``rest`` vCPUs.

    Yield all ways, or one that leaves little free.
    """
    groups = _groups(profiles)
    ways = min(
        comb(len(profiles), count), comb(len(groups) + count - 1, count)
    )
    if ways <= MOST:
        for part in _choose(groups, count):
            if sum([profile.slots for profile in part]) >= rest:
                yield part
        return
    # The largest ones, then each replaced by the smallest that is enough.
    order = sorted(profiles, key=lambda profile: profile.slots)
    chosen, spare = order[-count:], order[:-count]
    slack = sum(profile.slots for profile in chosen) - rest
    if slack < 0:
        return
    for index, profile in enumerate(chosen):
        for other in spare:
            if profile.slots - other.slots <= slack:
                slack -= profile.slots - other.slots
                chosen[index] = other
                spare.remove(other)
                break
    yield tuple(chosen)


def alike_once(
    profiles: Sequence[Profile], count: int
) -> Iterator[tuple[Profile, ...]]:
    """Yield every choice of ``count`` profiles, equal ones only once."""
    yield from _choose(_groups(profiles), count)


def _groups(profiles: Sequence[Profile]) -> list[list[Profile]]:
    groups: dict[object, list[Profile]] = {}
    for profile in profiles:
        groups.setdefault(profile[:-1], []).append(profile)
    return list(groups.values())


def _choose(
    groups: list[list[Profile]], count: int
) -> Iterator[tuple[Profile, ...]]:
    if not count:
        yield ()
        return
    for index, group in enumerate(groups):
        for number in range(min(len(group), count), 0, -1):
            head = tuple(group[:number])
            for tail in _choose(groups[index + 1 :], count - number):
                yield head + tail
