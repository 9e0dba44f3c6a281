"""Read and write the attributes that a PF holds for its VFs, by rtnetlink.

See IFLA_VFINFO_LIST in the kernel's include/uapi/linux/if_link.h. Anybody may
read them; writing takes CAP_NET_ADMIN. Values are texts: numbers, 0 or 1, or a
MAC address.
"""

from collections.abc import Callable, Mapping
import errno
import importlib
import os
import re
from typing import Any

# RTEXT_FILTER_VF of linux/rtnetlink.h: include the VFs.
_WITH_VFS = 1
# What a field holds when the driver does not set it (rtnl_fill_vfinfo: -1).
_UNKNOWN = 0xFFFFFFFF
_ADDRESS = re.compile(r'[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z')
# The port name of a VF's representor, which is listed next to the PF's own
# interface (devlink-port.rst).
_REPRESENTOR = re.compile(r'(c\d+)?pf\d+(vf|sf)\d+\Z')
_NUMBER = re.compile(r'[0-9]{1,10}\Z')

#: What can be written, by name: returns the request for a number, given the
#: VF's present attributes.
WRITTEN: Mapping[str, Callable[[int, Mapping[str, str]], dict[str, Any]]] = {
    'vlan': lambda number, _now: {'vlan': number},
    'trust': lambda number, _now: {'trust': number},
    'spoof_check': lambda number, _now: {'spoofchk': number},
    'max_rate': lambda number, now: {
        'rate': {
            'min_tx_rate': int(now.get('min_rate', '0')),
            'max_tx_rate': number,
        }
    },
}
_READ = {
    'IFLA_VF_MAC': ('mac', 'mac'),
    'IFLA_VF_VLAN': ('vlan', 'vlan'),
    'IFLA_VF_TRUST': ('trust', 'trust'),
    'IFLA_VF_SPOOFCHK': ('spoof_check', 'spoofchk'),
}


def read(pf: str, index: int) -> Mapping[str, str] | None:
    """Return the attributes of VF ``index`` of a PF: those of mac, vlan,
    trust, spoof_check, max_rate and min_rate that the driver reports; None
    when the VF does not exist.

    :raises OSError: the kernel does not answer.
    """
    name = interface(pf)
    if name is None:
        return None
    return _vf(_link(name), index)


def check(pf: str, name: str, value: str) -> None:
    """See that words are those of a VF's attribute.

    :raises OSError: they are not.
    """
    if not _ADDRESS.match(pf):
        raise OSError(errno.EINVAL, f'{pf!r} is not a PCI address')
    if name not in WRITTEN or not _NUMBER.match(value):
        raise OSError(
            errno.EINVAL, f'{name}={value} is not an attribute of a VF'
        )


def write(pf: str, index: int, name: str, value: str) -> None:
    """Set one attribute of a VF.

    :raises OSError: the kernel's answer, or the PF, VF or attribute does not
        exist.
    """
    check(pf, name, value)
    device = interface(pf)
    now = None if device is None else read(pf, index)
    if device is None or now is None:
        raise OSError(errno.ENODEV, f'{pf} has no VF {index}')
    request = {'vf': int(index), **WRITTEN[name](int(value), now)}
    _call(lambda ip: ip.link('set', index=_index(device), vf=request))


def interface(pf: str, root: str = '/') -> str | None:
    """Return the network interface of a PF; None when it has none.

    :raises OSError: ``pf`` is not a PCI address.
    """
    if not _ADDRESS.match(pf):
        raise OSError(errno.EINVAL, f'{pf!r} is not a PCI address')
    base = os.path.join(root, 'sys/bus/pci/devices', pf, 'net')
    try:
        names = sorted(os.listdir(base))
    except OSError:
        return None
    for name in names:
        try:
            with open(os.path.join(base, name, 'phys_port_name')) as file:
                port = file.read().strip()
        except OSError:
            port = ''
        if not _REPRESENTOR.match(port):
            return name
    return None


def macvtap_mode(name: str) -> str | None:
    """Return the mode of a macvtap in libvirt's words; None for any other
    interface.

    :raises OSError: the interface does not exist.
    """
    info = _attribute(_link(name), 'IFLA_LINKINFO')
    if info is None or _attribute(info, 'IFLA_INFO_KIND') != 'macvtap':
        return None
    data = _attribute(info, 'IFLA_INFO_DATA')
    mode = None if data is None else _attribute(data, 'IFLA_MACVTAP_MODE')
    # The kernel and iproute2 call it passthru.
    return 'passthrough' if mode == 'passthru' else mode


def _vf(link: Any, index: int) -> Mapping[str, str] | None:
    listed = _attribute(link, 'IFLA_VFINFO_LIST')
    for _kind, info in [] if listed is None else listed['attrs']:
        found = _attributes(info)
        if found.pop('index', None) == str(index):
            return found
    return None


def _attributes(info: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in info['attrs']:
        if key in _READ:
            name, field = _READ[key]
            if value[field] != _UNKNOWN:
                found[name] = str(value[field])
        elif key == 'IFLA_VF_RATE':
            found['max_rate'] = str(value['max_tx_rate'])
            found['min_rate'] = str(value['min_tx_rate'])
        else:
            continue
        found['index'] = str(value['vf'])
    return found


def _link(name: str) -> Any:
    return _call(lambda ip: ip.link('get', ifname=name, ext_mask=_WITH_VFS))[0]


def _index(name: str) -> int:
    with open(f'/sys/class/net/{name}/ifindex') as file:
        return int(file.read())


def _attribute(message: Any, name: str) -> Any:
    for key, value in message['attrs']:
        if key == name:
            return value
    return None


def _call(ask: Callable[[Any], Any]) -> Any:
    # Importing it takes a third of a second, and it is rarely needed.
    pyroute2 = importlib.import_module('pyroute2')
    try:
        with pyroute2.IPRoute() as route:
            return ask(route)
    except pyroute2.NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
