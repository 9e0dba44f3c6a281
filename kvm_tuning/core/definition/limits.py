"""What bounds the cost of a domain: counts, CPU lists and double addresses.

The limits are far above what QEMU and libvirt can run; they keep a document
from costing more than a moment, whatever numbers stand in it.
"""

from collections import Counter
from collections.abc import Iterator
import re
from typing import Any

from lxml import etree

from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.xml import implied, pins

#: Most elements at a path. QEMU's largest machine has 4,096 vCPUs
#: (pc_q35_machine_options), and a PCI topology far fewer devices.
MOST: tuple[tuple[str, int], ...] = (
    ('devices/disk', 16384),
    ('devices/interface', 4096),
    ('devices/hostdev', 4096),
    ('devices/controller', 16384),
    # Those are numbered by looking at all the others.
    ('devices/controller[not(@index)]', 256),
    (pins.VCPU_PIN, 16384),
    (pins.IOTHREAD_PIN, 4096),
    ('iothreadids/iothread', 4096),
    ('cpu/numa/cell', 1024),
    ('numatune/memnode', 1024),
    ('memoryBacking/hugepages/page', 1024),
)
#: Highest number in an element's text.
HIGHEST: tuple[tuple[str, int], ...] = (
    ('vcpu', 65536),
    ('iothreads', 4096),
)
#: Most CPUs and cells that all lists of a document name together: 512 lists
#: of 4,096.
MOST_LISTED = 1 << 21

_LISTS = frozenset({'cpuset', 'cpus', 'nodeset'})
_RANGE = re.compile(r'(\d{1,9})(?:-(\d{1,9}))?')
_DIGITS = re.compile(r'\s*(\d+)\s*\Z')

#: Elements of which a domain, or the parent, has one.
_SINGLE = (
    'vcpu', 'iothreads', 'iothreadids', 'cputune', 'numatune',
    'memoryBacking', 'cpu', 'os', 'metadata', 'devices', 'memory',
    'currentMemory', pins.EMULATOR_PIN, 'numatune/memory',
    'cpu/topology', 'cpu/numa', 'cpu/cache', 'memoryBacking/hugepages',
)  # fmt: skip
#: Elements that an attribute tells from others of their kind.
_KEYED = (
    (pins.VCPU_PIN, 'vcpu'),
    (pins.IOTHREAD_PIN, 'iothread'),
    ('numatune/memnode', 'cellid'),
    ('cpu/numa/cell', 'id'),
    ('iothreadids/iothread', 'id'),
)
#: Devices that we tune, and parts of them that there is one of.
_DEVICES = frozenset({'disk', 'interface', 'controller'})
_PARTS = frozenset({'driver', 'source', 'target', 'model', 'mac', 'vlan'})

# lxml answers these for a whole document at once; only where one of them
# finds something is it looked for with more words.
_CROWDED = etree.XPath(
    ' | '.join(f'({path})[{most + 1}]' for path, most in MOST)
)
_LISTED = etree.XPath(
    ' | '.join(f'descendant-or-self::*/@{name}' for name in sorted(_LISTS)),
    smart_strings=False,
)
_SECOND = etree.XPath(' | '.join(f'({path})[2]' for path in _SINGLE))


def check(root: etree._Element) -> None:
    """See that reading a domain costs no more than a moment.

    :raises InvalidDocument: the first limit that it passes.
    """
    for path, most in MOST if _CROWDED(root) else ():
        elements: Any = root.xpath(path)
        count = len(elements)
        if count > most:
            raise InvalidDocument(
                f'the domain has {count} elements {path}: at most {most} are '
                f'taken'
            )
    for path, highest in HIGHEST:
        text = root.findtext(path)
        match = _DIGITS.match(text or '')
        if match and (len(match[1]) > 9 or int(match[1]) > highest):
            raise InvalidDocument(
                f'<{path}>{match[1][:20]}</{path}>: at most {highest} are '
                f'taken'
            )
    lists: Any = _LISTED(root)
    if sum(map(_size, lists)) > MOST_LISTED:
        raise InvalidDocument(
            f'the CPU lists of the domain name more than {MOST_LISTED} CPUs '
            f'together'
        )


def doubled(root: etree._Element) -> Iterator[str]:
    """Yield each address at which the domain has two elements: a setting of
    one could hit the other, and libvirt keeps only one.
    """
    for path in _SINGLE if _SECOND(root) else ():
        if len(root.findall(path)) > 1:
            yield path
    for path, key in _KEYED:
        values = [implied.key(each, key) for each in root.iterfind(path)]
        if len(set(values)) == len(values):
            continue
        for value, count in Counter(values).items():
            if count > 1 and value is not None:
                yield f"{path}[@{key}='{value}']"
    for device in root.iterfind('devices/*'):
        if device.tag not in _DEVICES:
            continue
        tags = [child.tag for child in device if child.tag in _PARTS]
        if len(set(tags)) < len(tags):
            tag = Counter(tags).most_common(1)[0][0]
            yield f'devices/{device.tag}/{tag}'


def _size(text: str) -> int:
    """Return how many CPUs a list names, at most; without making them."""
    found = 0
    for first, last in _RANGE.findall(text):
        found += max(0, int(last) - int(first)) + 1 if last else 1
    return found
