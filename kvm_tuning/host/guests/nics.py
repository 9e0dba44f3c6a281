"""Observe what serves the NICs of a running guest."""

from collections.abc import Iterable, Mapping
import os

from lxml import etree

from kvm_tuning.core.observed import Nic, Unknown
from kvm_tuning.host.guests import qemu_args, virtual_functions
from kvm_tuning.host.guests.process import Guest, alias

_TUN = '/dev/net/tun'
_VHOST = '/dev/vhost-net'
#: A macvtap is /dev/tapN, where N is its interface's index.
_MACVTAP = '/dev/tap'
#: VIRTIO_NET_RX_QUEUE_DEFAULT_SIZE and ..._TX_... of QEMU.
_RING = 256
#: Interface types of libvirt without a device on the host.
_NO_HOST = frozenset({'user', 'vhostuser', 'hostdev', 'vdpa', 'null'})


def nics(guest: Guest, root: etree._Element) -> dict[str, Nic]:
    """Return the NICs of the live document, by MAC."""
    found = [_nic(guest, each) for each in root.iterfind('devices/interface')]
    return {nic.mac: nic for nic in found if nic.mac}


def _nic(guest: Guest, element: etree._Element) -> Nic:
    name = alias(element)
    mac = element.find('mac')
    target = element.find('target')
    kind = element.get('type', '')
    host = None if target is None else target.get('dev')
    model = guest.model(name)
    no_ring = Unknown(f'the ring size of {model} cannot be set')
    virtio = not isinstance(model, str) or model.startswith('virtio-net')
    default = _RING if virtio else no_ring
    return Nic(
        mac='' if mac is None else mac.get('address', '').lower(),
        model=model,
        host=_unless(host, kind),
        queues=_queues(guest, name, kind, host),
        vhost=_vhost(guest, name),
        rx_ring=guest.number(name, 'rx_queue_size', default),
        tx_ring=guest.number(name, 'tx_queue_size', default),
        mode=_mode(guest, kind, host),
        lower=_lower(guest, kind, host),
    )


def _unless(host: str | None, kind: str) -> str | Unknown:
    if host is None or kind in _NO_HOST:
        return Unknown(f'an interface of type {kind} has none on the host')
    return host


def _mode(guest: Guest, kind: str, host: str | None) -> str | Unknown:
    if kind != 'direct' or host is None:
        return Unknown(f'an interface of type {kind} is not a macvtap')
    if os.path.realpath(guest.process.root) != '/':
        return Unknown('the kernel of another machine cannot be queried')
    try:
        mode = virtual_functions.macvtap_mode(host)
    except OSError as error:
        return Unknown(f'{host}: {error.strerror}')
    return mode or Unknown(f'{host} is not a macvtap')


def _lower(guest: Guest, kind: str, host: str | None) -> str | Unknown:
    """Return the NIC below a macvtap (link ``lower_NAME`` of sysfs)."""
    if kind != 'direct' or host is None:
        return Unknown(f'an interface of type {kind} is not a macvtap')
    path = os.path.join(guest.process.root, 'sys/class/net', host)
    try:
        names = os.listdir(path)
    except OSError as error:
        return Unknown(f'{host}: {error.strerror}')
    for name in names:
        if name.startswith('lower_'):
            return name.removeprefix('lower_')
    return Unknown(f'{host} has no lower device in this network namespace')


def _queues(
    guest: Guest, name: str, kind: str, host: str | None
) -> int | Unknown:
    """Count the open descriptors of the NIC's tap or macvtap. The directory
    ``queues`` in sysfs has only the queues that the guest has enabled.
    """
    if host is None or kind in _NO_HOST:
        return _asked_queues(guest, name)
    if isinstance(guest.links, Unknown):
        return guest.links
    if kind == 'direct':
        device = _MACVTAP + _interface_number(guest.process.root, host)
        return sum(link == device for link in guest.links.values())
    count = 0
    for number, link in guest.links.items():
        if link == _TUN:
            info = guest.fdinfo(number)
            if isinstance(info, Unknown):
                return info
            count += info.get('iff') == host
    return count or Unknown(f'QEMU has no open descriptor of {host}')


def _interface_number(root: str, name: str) -> str:
    path = os.path.join(root, 'sys/class/net', name, 'ifindex')
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return '?'


def _asked_queues(guest: Guest, name: str) -> int | Unknown:
    """Return the queues of a NIC without a device on the host, from QEMU's
    arguments.
    """
    netdev = _netdev(guest, name)
    if isinstance(netdev, Unknown):
        return netdev
    return qemu_args.number(netdev.get('queues')) or 1


def _vhost(guest: Guest, name: str) -> int | Unknown:
    """Count the open descriptors of /dev/vhost-net that serve the NIC."""
    if isinstance(guest.links, Unknown):
        return guest.links
    opened = {n for n, link in guest.links.items() if link == _VHOST}
    if not opened:
        return 0
    netdev = _netdev(guest, name)
    if isinstance(netdev, Unknown):
        return netdev
    named = _descriptors(netdev)
    if named:
        return len(opened & named)
    if qemu_args.flag(netdev.get('vhost')):
        return Unknown(
            'QEMU has opened /dev/vhost-net itself, and the NIC that a '
            'descriptor serves is not known'
        )
    return 0


def _descriptors(netdev: Mapping[str, object]) -> set[int]:
    text = str(netdev.get('vhostfds') or netdev.get('vhostfd') or '')
    return set(_numbers(text.split(':')))


def _numbers(texts: Iterable[str]) -> Iterable[int]:
    found = (qemu_args.number(text) for text in texts)
    return (number for number in found if number is not None)


def _netdev(guest: Guest, name: str) -> qemu_args.Options | Unknown:
    device = guest.device(name)
    if isinstance(device, Unknown):
        return device
    if isinstance(guest.arguments, Unknown):
        return guest.arguments
    netdev = str(device.get('netdev'))
    found = qemu_args.by_id(guest.arguments, 'netdev', netdev)
    return found or Unknown(f'QEMU was started without the netdev {netdev}')
