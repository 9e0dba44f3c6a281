"""What hwloc itself says of a machine below a root, by its lstopo."""

from collections.abc import Iterator
import subprocess
from typing import Any

from lxml import etree

PROGRAM = 'lstopo-no-graphics'


def summary(root: str) -> dict[str, Any]:
    """Return PUs, packages, cores, L3 domains and NUMA cells, all as lists of
    Linux CPU numbers.
    """
    output = subprocess.run(
        [
            PROGRAM,
            *('--input', root),
            *('--input-format', 'fsroot'),
            *('--output-format', 'xml'),
            '--disallowed',
            *('--filter', 'all:all'),
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={'PATH': '/usr/bin:/bin', 'HWLOC_HIDE_ERRORS': '2'},
    ).stdout
    document = etree.fromstring(output)
    return {
        'cpus': sorted(
            int(each.get('os_index') or '') for each in _all(document, 'PU')
        ),
        'packages': _sets(document, 'Package'),
        'cores': _sets(document, 'Core'),
        'l3': _sets(document, 'L3Cache'),
        'numa': {
            each.get('os_index'): {
                'cpus': _cpus(each.get('cpuset')),
                'memory_bytes': int(each.get('local_memory') or 0),
            }
            for each in _all(document, 'NUMANode')
        },
    }


def _all(document: etree._Element, kind: str) -> Iterator[etree._Element]:
    yield from document.iterfind(f'.//object[@type="{kind}"]')


def _sets(document: etree._Element, kind: str) -> list[list[int]]:
    return sorted(_cpus(each.get('cpuset')) for each in _all(document, kind))


def _cpus(mask: str | None) -> list[int]:
    """Return the CPUs of a mask of 32-bit groups, ``0x00000001,0x0``; a group
    that is left out is 0.
    """
    bits = 0
    for group in (mask or '').split(','):
        bits = bits << 32 | int(group or '0', 16)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]
