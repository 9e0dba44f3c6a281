"""VFs set by NetworkManager: configuration and its connection profiles.

NetworkManager.conf(5), ``sriov-num-vfs``, which is set when a device appears;
nm-settings-keyfile(5), ``[sriov]`` of a profile (0 VFs where it names no
number); the variables SRIOV_* of the older ifcfg files.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
import re
import shlex

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups.sriov import network_manager_conf as conf
from kvm_tuning.host.prep.groups.sriov.identity import Owner, Port, number
from kvm_tuning.host.prep.writers import target

_NAME = 'NetworkManager'
_IFCFG = 'etc/sysconfig/network-scripts'
_TYPES = ('ethernet', '802-3-ethernet', 'infiniband', '')
_BACKUPS = ('~', '.rpmsave', '.rpmorig', '.rpmnew', '.swp', '.bak', '.tmp')


def find(host: Host, port: Port) -> Iterator[Owner]:
    """Yield the NetworkManager settings that affect a port's VFs."""
    found = conf.read(host.tree)
    said = conf.of_device(found, port, 'sriov-num-vfs')
    if said is not None and number(said[0]) is not None:
        count, path = said
        yield Owner(
            _NAME, f'/{path} sets sriov-num-vfs={count}', number(count)
        )
    if conf.is_managed(found, port):
        yield from _profiles(host, port)
        yield from _ifcfg(host, port)
    yield from _state(host, port)


def _profiles(host: Host, port: Port) -> Iterator[Owner]:
    seen: set[str] = set()
    for base in ('run', 'etc', 'usr/lib'):
        directory = f'{base}/NetworkManager/system-connections'
        for name in host.tree.names(directory):
            if _is_ignored(name, base):
                continue
            try:
                profile = conf.keyfile(host.tree, f'{directory}/{name}')
            except InventoryUnreadable as error:
                text = f'it cannot be determined whether it sets them: {error}'
                yield Owner(_NAME, text)
                continue
            uuid = profile.get('connection', {}).get('uuid', '')
            if uuid in seen:
                continue
            if uuid:
                seen.add(uuid)
            sriov = profile.get('sriov')
            if sriov is not None and _is_of(profile, port):
                count = sriov.get('total-vfs', '0').strip() or '0'
                yield Owner(
                    _NAME,
                    f'the connection {name} sets sriov.total-vfs={count}',
                    number(count),
                )


def _is_ignored(name: str, base: str) -> bool:
    if name.startswith('.') or name.endswith(_BACKUPS):
        return True
    return base != 'etc' and not name.endswith('.nmconnection')


def _is_of(profile: conf.Sections, port: Port) -> bool:
    """Tell whether a profile can be brought up on a port."""
    connection = profile.get('connection', {})
    if connection.get('type', '').strip() not in _TYPES:
        return False
    name = connection.get('interface-name', '').strip()
    if name and name != port.interface:
        return False
    wired = {
        **profile.get('802-3-ethernet', {}),
        **profile.get('ethernet', {}),
        **profile.get('infiniband', {}),
    }
    own = port.permanent_mac or port.mac
    mac = _mac(wired.get('mac-address', ''))
    if mac and mac != own:
        return False
    for key in ('mac-address-blacklist', 'mac-address-denylist'):
        if own in map(_mac, re.split('[;,]', wired.get(key, ''))):
            return False
    match = profile.get('match', {})
    return all(
        _listed(match.get(key, ''), value)
        for key, value in (
            ('interface-name', port.interface),
            ('driver', port.driver),
            ('path', port.path),
        )
    )


def _mac(text: str) -> str:
    return text.strip().lower().replace('-', ':')


def _listed(text: str, value: str) -> bool:
    """Match a list of patterns ("match" of nm-settings): ``!`` inverts one,
    all those with ``&`` must fit, and one of the others.
    """
    optional: list[bool] = []
    for raw in text.split(';'):
        word = raw.strip()
        if not word:
            continue
        mandatory = word.startswith('&')
        word = word.lstrip('&|') if word[0] in '&|' else word
        inverted = word.startswith('!')
        pattern = word.removeprefix('!').removeprefix('\\')
        fits = fnmatchcase(value, pattern) != inverted
        if mandatory or inverted:
            if not fits:
                return False
        else:
            optional.append(fits)
    return any(optional) if optional else True


def _ifcfg(host: Host, port: Port) -> Iterator[Owner]:
    for name in host.tree.names(_IFCFG):
        if not name.startswith('ifcfg-') or name.endswith(_BACKUPS):
            continue
        path = f'{_IFCFG}/{name}'
        values = _variables(target.text(host.tree, path) or '')
        if not any(key.startswith('SRIOV_') for key in values):
            continue
        if values.get('NM_CONTROLLED', 'yes').lower() in ('no', 'n', '0'):
            continue
        device = values.get('DEVICE', '')
        mac = _mac(values.get('HWADDR', ''))
        if device and device != port.interface:
            continue
        if mac and mac != (port.permanent_mac or port.mac):
            continue
        count = values.get('SRIOV_TOTAL_VFS', '0')
        yield Owner(
            _NAME,
            f'the connection {name} sets SRIOV_TOTAL_VFS={count}',
            number(count),
        )


def _variables(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for word in words[:1]:
            key, equals, value = word.partition('=')
            if equals:
                found[key] = value
    return found


def _state(host: Host, port: Port) -> Iterator[Owner]:
    index = host.tree.text(f'sys/class/net/{port.interface}/ifindex')
    state = conf.keyfile(host.tree, f'run/NetworkManager/devices/{index}')
    if 'connection-uuid' in state.get('device', {}):
        yield Owner(
            _NAME,
            f'{port.interface} is up with a connection of NetworkManager, '
            f'which resets VFs when the connection goes down',
        )
