"""Ports as people write them: by interface, PCI address, MAC or driver.

lspci leaves out the PCI domain where it is 0, and other tools write in upper
case or with dashes; sysfs has lower case and the domain.
"""

from collections.abc import Collection, Sequence
import re
from typing import Protocol, TypeVar

from kvm_tuning.core.inventory import PciDevice

_ADDRESS = re.compile(
    r'(?:pci[:@])?(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})'
    r'\.([0-7])'
)
_MAC = re.compile(r'(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}')
DRIVER = 'driver:'


class Named(Protocol):
    """A PF that a selector may name."""

    @property
    def device(self) -> PciDevice: ...

    @property
    def macs(self) -> Collection[str]: ...

    @property
    def able(self) -> bool: ...


Pf = TypeVar('Pf', bound=Named)


def address(text: str) -> str | None:
    """Return a PCI address as sysfs writes it; None: not a PCI address."""
    match = _ADDRESS.fullmatch(text.strip().lower())
    if match is None:
        return None
    domain, bus, slot, function = match.groups()
    return (
        f'{int(domain or "0", 16):04x}:{int(bus, 16):02x}:'
        f'{int(slot, 16):02x}.{function}'
    )


def mac(text: str) -> str | None:
    """Return a MAC address as the kernel writes it; None: not one."""
    plain = text.strip().lower()
    return plain.replace('-', ':') if _MAC.fullmatch(plain) else None


def select(selector: str, pfs: Sequence[Pf]) -> list[Pf]:
    """Return the functions that a selector names. A driver's name takes
    those of its ports that can have VFs.
    """
    if selector.startswith(DRIVER):
        driver = selector.removeprefix(DRIVER)
        return [pf for pf in pfs if pf.device.driver == driver and pf.able]
    by_name = [pf for pf in pfs if selector in pf.device.interfaces]
    if by_name:
        return by_name
    wanted = mac(selector)
    if wanted is not None:
        return [pf for pf in pfs if wanted in pf.macs]
    place = address(selector)
    return [pf for pf in pfs if pf.device.address == place]


def unknown(selector: str, known: str) -> str:
    """Return why a selector names no port.

    :param known: the ports that exist.
    """
    place, wanted = address(selector), mac(selector)
    read = wanted or place
    shown = '' if read in (None, selector) else f' ({read})'
    return (
        f'there is no such port{shown}; this host has '
        f'{known or "no network card"}; a port is named by its interface, its '
        f'PCI address, its MAC address, or with others as driver:NAME'
    )
