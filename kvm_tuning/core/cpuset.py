"""CPU sets: a ``frozenset`` of CPU numbers in code, Linux list format in text.

The text format is the kernel's "list format" (``0-3,8``, see the kernel's
admin-guide/kernel-parameters, "cpu lists"); libvirt's exclusions (``0-7,^3``,
see libvirt's formatdomain, "CPU Allocation") are accepted on input.
"""

from collections.abc import Iterable
import re

# A CPU number no real machine reaches; bounds the memory one range can take.
MAX_CPU = 65535

_PART = re.compile(r'\A(\^?)(\d{1,9})(?:-(\d{1,9}))?\Z')
_GROUP = re.compile(r'\A[0-9a-fA-F]{1,8}\Z')


def parse(text: str) -> frozenset[int]:
    """Return the CPUs that a list such as ``0-3,8,^2`` names.

    Exclusions apply to the whole list, wherever they stand in it, as they do
    in Nova's ``parse_cpu_spec``.

    :raises ValueError: the text is not a CPU list, a range runs backwards, or
        a number is above :data:`MAX_CPU`.
    """
    if text.isdecimal() and len(text) < 5:  # The common case, far faster.
        return frozenset((int(text),))
    cpus: set[int] = set()
    excluded: set[int] = set()
    for raw in text.strip().split(','):
        part = raw.strip()
        if not part:
            continue
        match = _PART.match(part)
        if match is None:
            raise ValueError(
                f'{part[:40]!r} is not a CPU, a range or an exclusion'
            )
        first = int(match[2])
        last = int(match[3]) if match[3] else first
        if last < first:
            raise ValueError(f'{part[:40]!r} runs backwards')
        if last > MAX_CPU:
            raise ValueError(f'{part[:40]!r} is above CPU {MAX_CPU}')
        if match[1] and match[3]:
            raise ValueError(f'{part[:40]!r} excludes a range')
        (excluded if match[1] else cpus).update(range(first, last + 1))
    return frozenset(cpus - excluded)


def parse_mask(text: str) -> frozenset[int]:
    """Return the CPUs of a kernel mask such as ``0000ffff,00000001``.

    Masks are groups of 32 bits in hexadecimal, the highest group first
    (kernel's ``%*pb`` bitmap format).

    :raises ValueError: the text is not a mask, or names a CPU above
        :data:`MAX_CPU`.
    """
    bits = 0
    for group in text.strip().split(','):
        # int() alone takes a sign, 0x and underscores, too.
        if _GROUP.match(group) is None:
            raise ValueError(f'{group[:40]!r} is not a group of a CPU mask')
        bits = bits << 32 | int(group, 16)
        if bits >> (MAX_CPU + 1):
            raise ValueError(f'the mask names a CPU above {MAX_CPU}')
    return from_bits(bits)


def format(cpus: Iterable[int]) -> str:
    """Return the list format of ``cpus``, ranges merged: ``0-3,8``."""
    parts: list[str] = []
    first = last = -2
    for cpu in sorted(cpus):
        if cpu == last + 1:
            last = cpu
            continue
        if first >= 0:
            parts.append(str(first) if first == last else f'{first}-{last}')
        first = last = cpu
    if first >= 0:
        parts.append(str(first) if first == last else f'{first}-{last}')
    return ','.join(parts)


def to_bits(cpus: Iterable[int]) -> int:
    """Return an integer whose bit N is set for each CPU N."""
    bits = 0
    for cpu in cpus:
        bits |= 1 << cpu
    return bits


def from_bits(bits: int) -> frozenset[int]:
    """Return the CPUs whose bits are set in ``bits``.

    :raises ValueError: ``bits`` is negative: it would have no last bit.
    """
    if bits < 0:
        raise ValueError(f'{bits} is negative')
    cpus = []
    while bits:
        low = bits & -bits
        cpus.append(low.bit_length() - 1)
        bits ^= low
    return frozenset(cpus)
