"""Read lists of guest CPUs in a flavor or an image: ``0-3,6``, ``0-7,^2-3``.

They are read as Nova reads them, and kept as ranges: an image is a tenant's
input, and ``0-999999999`` must not take a gigabyte.
"""

from dataclasses import dataclass

from kvm_tuning.core import cpuset

#: Enough for every second of 1,000 vCPUs written one by one.
MAX_CHARACTERS = 4096

WANT = 'a vCPU list such as 0-3,6 or 0-7,^2'


@dataclass(frozen=True, slots=True)
class VcpuList:
    """Ranges, first and last, that are named, and those that are excluded."""

    included: tuple[tuple[int, int], ...]
    excluded: tuple[tuple[int, int], ...]

    def within(self, vcpus: int) -> frozenset[int]:
        """Return the named vCPUs of a guest that has ``vcpus``."""
        named = _bits(self.included, vcpus)
        if self.excluded:
            named &= ~_bits(self.excluded, vcpus)
        return cpuset.from_bits(named)

    def beyond(self, vcpus: int) -> int | None:
        """Return the lowest named vCPU that such a guest does not have."""
        lowest: int | None = None
        excluded = sorted(self.excluded)
        for first, last in self.included:
            if last < vcpus:
                continue
            cpu = max(first, vcpus)
            if lowest is not None and lowest <= cpu:
                continue
            cpu = _skip(cpu, excluded)
            if cpu <= last and (lowest is None or cpu < lowest):
                lowest = cpu
        return lowest


def read(text: str) -> VcpuList:
    """Return the list that ``text`` writes.

    :raises ValueError: it is not a list, a range runs backwards, or the text
        has more than :data:`MAX_CHARACTERS`; says what would be valid.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f'{WANT}, at most {MAX_CHARACTERS} characters')
    included: list[tuple[int, int]] = []
    excluded: list[tuple[int, int]] = []
    for part in text.split(','):
        rule = part.strip()
        if not rule:
            continue
        ranges = included
        if rule[0] == '^':
            ranges = excluded
            rule = rule[1:]
        first, dash, last = rule.partition('-')
        try:
            start = int(first)
            end = int(last) if dash else start
        except ValueError:
            raise ValueError(WANT) from None
        if start > end:
            raise ValueError(WANT)
        ranges.append((start, end))
    return VcpuList(tuple(included), tuple(excluded))


def _bits(ranges: tuple[tuple[int, int], ...], vcpus: int) -> int:
    bits = 0
    for first, last in ranges:
        if first < vcpus:
            count = min(last, vcpus - 1) - first + 1
            bits |= ((1 << count) - 1) << first
    return bits


def _skip(cpu: int, excluded: list[tuple[int, int]]) -> int:
    """Return ``cpu``, or the next one that no sorted range contains."""
    for first, last in excluded:
        if first > cpu:
            break
        if last >= cpu:
            cpu = last + 1
    return cpu
