"""The names and addresses of a PF, and owners of its number of VFs."""

from collections.abc import Iterator
from dataclasses import dataclass
import fcntl
import socket
import struct

from kvm_tuning.core import whole
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.writers import events
from kvm_tuning.host.prep.writers.udev_events import Device

# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_GPERMADDR = 0x20
# linux/netdevice.h: the address is the one that the card was made with.
_NET_ADDR_PERM = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """A program or file that sets or resets the number of VFs."""

    name: str
    text: str
    #: The number it sets; None: it is not known.
    count: int | None = None
    #: Whether it does so by itself; a unit that is not enabled does not.
    active: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """The names and addresses of a PF, as other programs may match them."""

    address: str
    interface: str
    #: Lower case, as the kernel shows it.
    mac: str
    driver: str
    #: The permanent MAC address of the card; None: it is not known.
    permanent_mac: str | None = None
    #: Where its interface and its function are in /sys.
    net: str = ''
    function: str = ''
    #: The udev properties of its interface, and whether they are complete.
    properties: tuple[tuple[str, str], ...] = ()
    complete: bool = False

    @property
    def path(self) -> str:
        """udev's ID_PATH."""
        return dict(self.properties).get('ID_PATH', f'pci-{self.address}')

    def names(self) -> Iterator[str]:
        """Yield the paths of its sriov_numvfs, relative to the root."""
        yield f'sys/bus/pci/devices/{self.address}/sriov_numvfs'
        if self.driver:
            home = f'sys/bus/pci/drivers/{self.driver}/{self.address}'
            yield f'{home}/sriov_numvfs'
        if self.function:
            yield f'{self.function}/sriov_numvfs'
        if self.interface:
            home = f'sys/class/net/{self.interface}'
            yield f'{home}/device/sriov_numvfs'
        if self.net:
            yield f'{self.net}/device/sriov_numvfs'

    def devices(self, host: Host) -> Iterator[Device]:
        """Yield the devices whose udev events may set its number of VFs."""
        tree = host.tree
        if self.net:
            yield Device(
                tree, self.net, 'net', dict(self.properties), self.complete
            )
        if self.function:
            given, complete = events.known(
                tree,
                f'+pci:{self.address}',
                {
                    'PCI_SLOT_NAME': self.address,
                    'DRIVER': self.driver,
                    'ID_PATH': self.path,
                },
            )
            yield Device(tree, self.function, 'pci', given, complete)


def read(host: Host, device: PciDevice) -> Port:
    """Read the names and addresses of a PF."""
    name = device.interfaces[0] if device.interfaces else ''
    mac = next((n.mac for n in host.inventory.nics if n.name == name), '')
    mac = mac.lower()
    net = host.tree.real(f'sys/class/net/{name}') if name else None
    index = host.tree.text(f'{net}/ifindex') if net else None
    given, complete = events.known(
        host.tree,
        f'n{index}',
        {
            'INTERFACE': name,
            'ID_NET_DRIVER': device.driver or '',
            'ID_PATH': f'pci-{device.address}',
            'ID_BUS': 'pci',
            'ID_VENDOR_ID': f'0x{device.vendor}',
            'ID_MODEL_ID': f'0x{device.product}',
            **({'IFINDEX': index} if index else {}),
        },
    )
    return Port(
        device.address,
        name,
        mac,
        device.driver or '',
        _permanent(host, name, mac) if name else None,
        net or '',
        host.tree.real(f'sys/bus/pci/devices/{device.address}') or '',
        tuple(sorted(given.items())),
        complete,
    )


def _permanent(host: Host, name: str, mac: str) -> str | None:
    """Return the permanent MAC address of a card.

    A port of a bond shows the bond's address; /proc/net/bonding has its own.
    """
    for bond in host.tree.names('proc/net/bonding'):
        text = host.tree.foreign(f'proc/net/bonding/{bond}') or ''
        current = ''
        for line in text.splitlines():
            key, _colon, value = line.partition(': ')
            if key == 'Slave Interface':
                current = value.strip()
            elif key == 'Permanent HW addr' and current == name:
                return value.strip().lower()
    if host.live:
        return _asked(name) or mac
    kind = host.tree.number(f'sys/class/net/{name}/addr_assign_type')
    return mac if kind in (None, _NET_ADDR_PERM) else None


def _asked(name: str) -> str | None:
    """Ask the driver for the permanent address (ETHTOOL_GPERMADDR)."""
    answer = bytearray(struct.pack('II32s', _ETHTOOL_GPERMADDR, 32, b''))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        # The kernel takes a pointer to the buffer; ioctl(2) of Python gives
        # it the buffer itself, so that the address is written by hand.
        import ctypes

        place = (ctypes.c_char * len(answer)).from_buffer(answer)
        request = struct.pack(
            '16sP', name.encode()[:15], ctypes.addressof(place)
        ).ljust(40, b'\0')
        try:
            fcntl.ioctl(handle.fileno(), _SIOCETHTOOL, request)
        except OSError:
            return None
    size = struct.unpack_from('II', answer)[1]
    found = bytes(answer[8 : 8 + min(size, 32)])
    return ':'.join(f'{each:02x}' for each in found) if any(found) else None


def number(value: object) -> int | None:
    """Parse a number in a file that is not ours; None: not a number."""
    return whole.number(str(value).strip().strip('"\''))
