"""VFs set by systemd: ``.link`` files (udev) and ``.network`` (networkd).

systemd.link(5): the files of all directories are sorted by their names, the
first one whose [Match] fits is applied, alone, with its drop-ins; it sets
SR-IOVVirtualFunctions=, or as many VFs as its sections [SR-IOV] number.
systemd.network(5) has [SR-IOV] too, for what VFs carry.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov.identity import Owner, Port, number
from kvm_tuning.host.prep.writers import precedence, unit_file
from kvm_tuning.host.prep.writers.unit_file import Setting

DIRECTORIES = precedence.below('systemd/network')
_MAC = re.compile(r'[0-9a-f]{12}')
# Conditions and matches that nobody but systemd can judge.
_CONDITIONS = (
    'Host',
    'Virtualization',
    'KernelCommandLine',
    'KernelVersion',
    'Version',
    'Credential',
    'Architecture',
    'Firmware',
)
_KEYS = frozenset(
    {
        'MACAddress',
        'PermanentMACAddress',
        'OriginalName',
        'Name',
        'Path',
        'Driver',
        'Type',
        'Kind',
        'Property',
        'SSID',
        'BSSID',
        'WLANInterfaceType',
        *_CONDITIONS,
    }
)


def links(host: Host, port: Port) -> Iterator[Owner]:
    """Yield the .link file that applies to a port, if it sets VFs, and each
    earlier one that may apply.
    """
    names = precedence.files(host.tree, DIRECTORIES, '.link')
    for name in names:
        try:
            settings = unit_file.load(host.tree, DIRECTORIES, name) or []
        except InventoryUnreadable as error:
            text = f'it cannot be determined whether it sets them: {error}'
            yield Owner('systemd-udevd', text)
            continue
        verdict = matches(settings, port)
        if verdict is False:
            continue
        yield from _of_link(settings, verdict)
        if verdict:
            return


def applied(host: Host, port: Port) -> str | None:
    """Return the path of the .link file that applies to a port; None: there
    is none, or it cannot be known.
    """
    for name, path in precedence.files(
        host.tree, DIRECTORIES, '.link'
    ).items():
        settings = unit_file.load(host.tree, DIRECTORIES, name) or []
        verdict = matches(settings, port)
        if verdict is not False:
            return f'/{path}' if verdict else None
    return None


def _of_link(
    settings: Sequence[Setting], verdict: bool | None
) -> Iterator[Owner]:
    does = 'sets' if verdict else 'may set'
    last = [s for s in settings if s.key == 'SR-IOVVirtualFunctions']
    last = [s for s in last if s.section == 'Link']
    if last and last[-1].value:
        value = last[-1].value
        yield Owner(
            'systemd-udevd',
            f'/{last[-1].path} {does} SR-IOVVirtualFunctions={value}',
            number(value),
        )
        return
    parts = [
        s
        for s in settings
        if (s.section, s.key) == ('SR-IOV', 'VirtualFunction')
    ]
    counts = [number(s.value) for s in parts]
    most = max((n for n in counts if n is not None), default=None)
    if parts and most is not None:
        yield Owner(
            'systemd-udevd',
            f'/{parts[0].path} {does} {most + 1} as the number of VFs, by its '
            f'sections [SR-IOV]',
            most + 1,
        )


def networks(host: Host, port: Port) -> Iterator[Owner]:
    """Yield the .network file that applies to a port (the first match), if
    it tunes VFs, and each earlier one that may apply.
    """
    for name in precedence.files(host.tree, DIRECTORIES, '.network'):
        settings = unit_file.load(host.tree, DIRECTORIES, name) or []
        verdict = matches(settings, port)
        if verdict is False:
            continue
        found = [s for s in settings if s.section == 'SR-IOV']
        if found:
            yield Owner(
                'systemd-networkd',
                f'/{found[0].path} has a section [SR-IOV]',
            )
        if verdict:
            return


def matches(settings: Sequence[Setting], port: Port) -> bool | None:
    """Tell whether a file's [Match] fits a port; None: it cannot be known.

    A file without a [Match] is not applied at all.
    """
    keys = [s.key for s in settings if s.section == 'Match']
    verdict: bool | None = True
    used = False
    for key in dict.fromkeys(keys):
        values = unit_file.values(settings, 'Match', key)
        if not values or key not in _KEYS:
            # systemd ignores what it does not know.
            continue
        used = True
        found = _match(key, values, port)
        if found is False:
            return False
        if found is None:
            verdict = None
    return verdict if used else False


def _match(key: str, values: list[str], port: Port) -> bool | None:
    if key == 'MACAddress':
        return _plain(port.mac) in _addresses(values)
    if key == 'PermanentMACAddress':
        if port.permanent_mac is None:
            return None
        return _plain(port.permanent_mac) in _addresses(values)
    own = {
        'OriginalName': (port.interface,),
        'Name': (port.interface, *_alternatives(port)),
        'Path': (port.path,),
        'Driver': (port.driver,),
        'Type': ('ether',),
        'Kind': ('',),
    }
    if key in own:
        return _patterns(values, own[key])
    if key == 'Property':
        return _property(values, port)
    if key in _CONDITIONS:
        return None
    # A wireless one.
    return False


def _patterns(values: list[str], own: tuple[str, ...]) -> bool:
    """Match shell patterns: none on a line that begins with ``!`` may fit,
    and at least one of the others must, if there are any.
    """
    positive = fits = False
    for line in values:
        inverted = line.startswith('!')
        for pattern in line.removeprefix('!').split():
            met = any(
                fnmatchcase(name, pattern.strip('"').replace('[^', '[!'))
                for name in own
            )
            if inverted and met:
                return False
            positive = positive or not inverted
            fits = fits or (met and not inverted)
    return fits if positive else True


def _addresses(values: list[str]) -> set[str]:
    return {_plain(word) for line in values for word in line.split()}


def _plain(mac: str) -> str:
    """Return the twelve digits of ``aa:bb``, ``aa-bb`` or ``aabb.ccdd``."""
    plain = re.sub(r'[:.-]', '', mac.lower())
    return plain if _MAC.fullmatch(plain) else mac


def _alternatives(port: Port) -> tuple[str, ...]:
    known = dict(port.properties)
    return tuple(
        value for key, value in known.items() if key.startswith('ID_NET_NAME_')
    )


def _property(values: list[str], port: Port) -> bool | None:
    """Match properties against their patterns: all of them must fit."""
    known = dict(port.properties)
    verdict: bool | None = True
    for line in values:
        inverted = line.startswith('!')
        for word in line.removeprefix('!').split():
            key, _equals, pattern = word.strip('"').partition('=')
            if key not in known and not port.complete:
                verdict = None
                continue
            met = key in known and fnmatchcase(known[key], pattern)
            if met == inverted:
                return False
    return verdict
