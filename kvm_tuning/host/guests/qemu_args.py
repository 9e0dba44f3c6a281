"""Parse QEMU's command line as libvirt writes it.

libvirt writes ``-blockdev`` as JSON since QEMU 4.2, ``-object``, ``-netdev``
and ``-device`` since QEMU 6.0 to 6.2; the other options, and all of them for
an older QEMU, are ``key=value`` lists in which ``,,`` stands for a comma.
"""

from collections.abc import Iterator, Mapping
import json
import re

from kvm_tuning.core import whole
from kvm_tuning.core.observed import Arguments

#: The options whose values are used.
_READ = frozenset(
    {
        'M', 'accel', 'blockdev', 'cpu', 'device', 'drive', 'enable-kvm',
        'hda', 'hdb', 'hdc', 'hdd', 'm', 'machine', 'name', 'netdev', 'nic',
        'numa', 'object', 'overcommit', 'smbios', 'smp', 'uuid',
    }
)  # fmt: skip
# Longer numbers are not valid, and Python parses at most 4300 digits.
# The parts between single commas.
_PART = re.compile(r'(?:[^,]|,,)+')

Options = Mapping[str, object]


def parse(cmdline: bytes) -> Arguments:
    """Return the options of /proc/PID/cmdline, without those that cannot be
    parsed.
    """
    words = cmdline.decode('utf-8', 'replace').split('\0')
    options = []
    for option, value in zip(words[1:], words[2:], strict=False):
        name = option.lstrip('-')
        if option.startswith('-') and name in _READ:
            found = _value(value)
            if found is not None:
                options.append((name, found))
    return Arguments(tuple(options))


def by_id(arguments: Arguments, option: str, id: str) -> Options | None:
    """Return the value of the ``-option`` with this ``id``."""
    for value in arguments.of(option):
        if value.get('id') == id:
            return value
    return None


def block_nodes(arguments: Arguments, name: str) -> Iterator[Options]:
    """Yield the block node called ``name`` and those below it."""
    nodes = {str(v.get('node-name')): v for v in arguments.of('blockdev')}
    # Each node is visited once, in case one refers to itself.
    while (node := nodes.pop(name, None)) is not None:
        yield node
        below = node.get('file')
        if isinstance(below, Mapping):
            yield below
            return
        name = str(below)


def flag(value: object) -> bool | None:
    """Return a JSON boolean or ``on`` and ``off``; None for other values."""
    if isinstance(value, bool):
        return value
    return {'on': True, 'yes': True, 'off': False, 'no': False}.get(str(value))


def number(value: object) -> int | None:
    """Return a whole number; None for other values."""
    return None if isinstance(value, bool) else whole.number(str(value))


def _value(text: str) -> Options | None:
    if not text.startswith('{'):
        return _keyval(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _keyval(text: str) -> Options:
    """Parse a key=value list; a key given twice has a list of values."""
    found: dict[str, object] = {}
    for index, part in enumerate(_PART.findall(text)):
        part = part.replace(',,', ',')
        key, equals, value = part.partition('=')
        if not equals:
            # -cpu host,migratable=on: the first word has no key; a later
            # word without a value is a switch.
            key, value = ('', part) if index == 0 else (part, 'on')
        if key in found:
            before = found[key]
            more = before if isinstance(before, list) else [before]
            found[key] = [*more, value]
        else:
            found[key] = value
    return found
