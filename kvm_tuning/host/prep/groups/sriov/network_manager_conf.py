"""NetworkManager.conf, merged as NetworkManager merges it.

NetworkManager.conf(5): the files of /usr/lib and /run come first, then the
main file, then conf.d of /etc; a name in /etc hides the same in /run, and that
the same in /usr/lib. Of the sections ``[device*]`` that match a device, those
of files that are read later come first, within a file those further up, and
``[device]`` itself last; the first one that has a key decides.
"""

from collections.abc import Callable, Iterable
import configparser
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.groups.sriov.identity import Port
from kvm_tuning.host.prep.writers import target

_MAIN = 'etc/NetworkManager/NetworkManager.conf'
#: Their files, in the order of reading, and the directories that hide them.
_ETC, _RUN, _LIB = (
    f'{base}/NetworkManager/conf.d' for base in ('etc', 'run', 'usr/lib')
)
_MAC = re.compile(r'[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}')
_TRUE = ('1', 'yes', 'true', 'on')

Sections = dict[str, dict[str, str]]


class _KeyFile(configparser.ConfigParser):
    """A parser with case-sensitive keys, as GLib's key files have them."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def keyfile(tree: Tree, path: str) -> Sections:
    """Return a file's sections (GLib's key files: ``#`` alone begins a
    comment, and no line goes on); none of a file with faults.

    :raises InventoryUnreadable: it is not text.
    """
    text = target.text(tree, path) or ''
    parser = _KeyFile(
        strict=False,
        interpolation=None,
        delimiters=('=',),
        comment_prefixes=('#',),
        default_section='',
        empty_lines_in_values=False,
    )
    try:
        parser.read_string('\n'.join(x.strip() for x in text.splitlines()))
    except configparser.Error as error:
        if '\N{REPLACEMENT CHARACTER}' in text:
            raise InventoryUnreadable(
                f'{tree.root}: {path} is not UTF-8'
            ) from error
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


@dataclass(slots=True)
class Configuration:
    """All files merged; the sections are in the order in which NetworkManager
    asks them. ``places``: the file that each key comes from.
    """

    sections: Sections = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)


def read(tree: Tree) -> Configuration:
    """Return the merged configuration.

    :raises InventoryUnreadable: a file is not text.
    """
    hidden: dict[str, None] = {}
    layers: list[list[str]] = []
    for directory in (_ETC, _RUN, _LIB):
        names = [
            name
            for name in tree.names(directory)
            if name.endswith('.conf') and name not in hidden
        ]
        layers.append([f'{directory}/{name}' for name in names])
        hidden.update(dict.fromkeys(names))
    etc, run, lib = layers
    found = Configuration()
    for path in (*lib, *run, _MAIN, *etc):
        _merge(found, keyfile(tree, path), path)
    return found


def _merge(found: Configuration, more: Sections, path: str) -> None:
    """Put a file's sections before those that are there."""
    merged = found.sections
    enabled = more.get('.config', {}).get('enable', '').strip().lower()
    if enabled in ('0', 'no', 'false', 'off'):
        return
    new = [name for name in more if name not in merged]
    for name in more:
        keys = _assigned(merged.get(name, {}), more[name])
        merged[name] = merged.get(name, {}) | keys
        found.places.update({(name, key): path for key in keys})
    ordered = {name: merged[name] for name in new}
    ordered.update({n: merged[n] for n in merged if n not in ordered})
    merged.clear()
    merged.update(ordered)


def _assigned(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in new.items():
        name = key.rstrip('+-')
        before = found.get(name, old.get(name, ''))
        words = [w for w in re.split('[,;]', before) if w]
        if key.endswith('+'):
            value = ','.join([*words, value])
        elif key.endswith('-'):
            gone = re.split('[,;]', value)
            value = ','.join(w for w in words if w not in gone)
        found[name] = value
    return found


def of_device(
    found: Configuration, port: Port, key: str
) -> tuple[str, str] | None:
    """Return the value of ``key`` for a port in the ``[device*]`` sections,
    and the file it comes from; None: it is not set.
    """
    sections = found.sections
    names = [name for name in sections if re.match(r'device(?=\Z|[-.])', name)]
    names.sort(key=lambda name: name == 'device')
    for name in names:
        section = sections[name]
        spec = section.get('match-device')
        if spec is not None and not meets(spec, port):
            continue
        if section.get(key):
            return section[key].strip(), found.places[name, key]
        if section.get('stop-match', '').strip().lower() in _TRUE:
            return None
    return None


def is_managed(found: Configuration, port: Port) -> bool:
    """Tell whether NetworkManager may bring a port up by itself."""
    spec = found.sections.get('keyfile', {}).get('unmanaged-devices')
    if spec and meets(spec, port):
        return False
    said = of_device(found, port, 'managed')
    return said is None or said[0].lower() in _TRUE


def meets(spec: str, port: Port) -> bool:
    """Tell whether a list of devices names a port ("Device List Format")."""
    positive = negative = met = False
    for raw in re.split(r'(?<!\\)[,;]', spec):
        word = raw.strip()
        if not word:
            continue
        if word.startswith('except:'):
            negative = True
            if _one(word.removeprefix('except:'), port):
                return False
        else:
            positive = True
            met = met or _one(word, port)
    return met or (negative and not positive)


def _one(word: str, port: Port) -> bool:
    if word == '*':
        return True
    kind, colon, value = word.partition(':')
    known: dict[str, Callable[[str], bool]] = {
        'interface-name': lambda each: _named(each, port.interface),
        'mac': lambda each: each.lower() in _macs(port),
        'driver': lambda each: _driver(each, port.driver),
        'type': lambda each: each == 'ethernet',
        's390-subchannels': lambda each: False,
        'dhcp-plugin': lambda each: False,
    }
    if colon and kind in known:
        return known[kind](value.strip())
    if _MAC.fullmatch(word.lower()):
        return word.lower().replace('-', ':') in _macs(port)
    return word == port.interface


def _named(value: str, name: str) -> bool:
    if value.startswith('='):
        return value[1:] == name
    pattern = value.removeprefix('~').replace('[', '[[]')
    return fnmatchcase(name, pattern)


def _driver(value: str, driver: str) -> bool:
    pattern = value.partition('/')[0].replace('[', '[[]')
    return fnmatchcase(driver, pattern)


def _macs(port: Port) -> Iterable[str]:
    # Which address it has had before others gave it one may not be known.
    return (port.permanent_mac or port.mac,)
