"""Find who uses a PCI function: guests, and processes that have it open.

Drivers do not refuse reliably: the kernel's check for assigned VFs ignores
VFIO, and taking a VF from VFIO does not fail, it waits. So users are looked
for in /proc (open files below /dev/vfio), in libvirt's files (libvirt itself
is not queried, so this works before it starts and below any root), and among
the upper devices of the VF's interface.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import re
from typing import TYPE_CHECKING

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import interfaces
from kvm_tuning.host.inventory.host import Host

if TYPE_CHECKING:
    from lxml import etree

RUNNING = 'run/libvirt/qemu'
DEFINED = 'etc/libvirt/qemu'


@dataclass(frozen=True, slots=True)
class Domain:
    """The devices to which a libvirt domain refers."""

    name: str
    running: bool
    #: PCI addresses of assigned devices.
    devices: frozenset[str]
    #: Interfaces and bridges of the host to which it is attached.
    interfaces: frozenset[str]


@dataclass(frozen=True, slots=True)
class Holder:
    """One user of a function. ``guest`` is None when no guest is known."""

    address: str
    guest: str | None
    text: str
    running: bool = True


def read_domains(host: Host) -> tuple[Domain, ...]:
    """Return the domains in libvirt's files, running ones first."""
    running = tuple(_domains(host, RUNNING, True))
    names = {domain.name for domain in running}
    defined = tuple(
        domain
        for domain in _domains(host, DEFINED, False)
        if domain.name not in names
    )
    return running + defined


def _domains(host: Host, base: str, running: bool) -> Iterator[Domain]:
    for entry in host.tree.names(base):
        if not entry.endswith('.xml'):
            continue
        raw = host.tree.raw(f'{base}/{entry}')
        if not raw:
            continue
        # Slow to import, and most hosts have no domains yet.
        from lxml import etree

        try:
            document = etree.fromstring(
                raw, etree.XMLParser(resolve_entities=False, no_network=True)
            )
        except etree.XMLSyntaxError:
            continue
        domain = next(document.iter('domain'), None)
        if domain is not None:
            yield _domain(domain, running)


def _domain(domain: 'etree._Element', running: bool) -> Domain:
    devices = set()
    for element in domain.iterfind('.//source/address'):
        address = _address(element)
        if address is not None:
            devices.add(address)
    sources = [
        element.get(key)
        for element in domain.iterfind('.//interface//source')
        for key in ('dev', 'bridge')
    ]
    return Domain(
        domain.findtext('name') or '?',
        running,
        frozenset(devices),
        frozenset(name for name in sources if name),
    )


def _address(element: 'etree._Element') -> str | None:
    try:
        parts = [
            int(element.get(key) or '', 0)
            for key in ('domain', 'bus', 'slot', 'function')
        ]
    except ValueError:
        return None
    return '{:04x}:{:02x}:{:02x}.{:x}'.format(*parts)


def find(
    host: Host, devices: Iterable[PciDevice], domains: Iterable[Domain]
) -> list[Holder]:
    """Return the users of ``devices``.

    :raises InventoryUnreadable: a device is bound to VFIO, and the open files
        of other processes cannot be seen (that takes root).
    """
    devices = list(devices)
    domains = list(domains)
    found = list(_of_domains(devices, domains))
    known = {holder.address for holder in found if holder.running}
    opened = None
    for device in devices:
        if device.address in known:
            continue
        if _is_vfio(host, device):
            if opened is None:
                opened = _opened(host)
            found += _of_vfio(host, device, opened)
        else:
            found += _of_interfaces(host, device)
    return found


def _is_vfio(host: Host, device: PciDevice) -> bool:
    """Tell whether a device is VFIO's: vfio-pci's, or a vendor's variant of
    it (mlx5_vfio_pci). From Linux 6.1 on each has a folder ``vfio-dev``.
    """
    home = f'sys/bus/pci/devices/{device.address}'
    if 'vfio-dev' in host.tree.names(home):
        return True
    return (
        re.search(r'(?:\A|[-_])vfio(?:[-_]|\Z)', device.driver or '')
        is not None
    )


def _of_domains(
    devices: Iterable[PciDevice], domains: list[Domain]
) -> Iterator[Holder]:
    for device in devices:
        for domain in domains:
            names = set(device.interfaces) & domain.interfaces
            if device.address in domain.devices:
                how = 'by libvirt'
            elif names:
                how = f'by macvtap on {", ".join(sorted(names))}'
            else:
                continue
            state = 'running' if domain.running else 'stopped'
            yield Holder(
                device.address,
                domain.name,
                f'the {state} guest {domain.name!r} has it ({how})',
                domain.running,
            )


def _opened(host: Host) -> dict[str, list[str]]:
    """Return the processes that have each file below /dev/vfio open."""
    found: dict[str, list[str]] = {}
    for pid in host.tree.names('proc'):
        if not pid.isdecimal():
            continue
        base = f'proc/{pid}/fd'
        for number in _descriptors(host, pid):
            target = host.tree.target(f'{base}/{number}') or ''
            if target.startswith('/dev/vfio/'):
                found.setdefault(target, []).append(pid)
    return found


def _descriptors(host: Host, pid: str) -> list[str]:
    try:
        return host.tree.names(f'proc/{pid}/fd')
    except InventoryUnreadable:
        if Tree(host.tree.root).names(f'proc/{pid}'):
            raise
        return []  # The process has ended.


def _of_vfio(
    host: Host, device: PciDevice, opened: dict[str, list[str]]
) -> Iterator[Holder]:
    base = f'sys/bus/pci/devices/{device.address}/vfio-dev'
    files = [f'/dev/vfio/devices/{name}' for name in host.tree.names(base)] + [
        f'/dev/vfio/{device.iommu_group}'
    ]
    pids = {pid for file in files for pid in opened.get(file, [])}
    for pid in sorted(pids, key=int):
        guest = _guest(host, pid)
        what = (
            f'the guest {guest!r}'
            if guest
            else f'the process {host.tree.text(f"proc/{pid}/comm")} ({pid})'
        )
        yield Holder(device.address, guest, f'{what} has it open through VFIO')


def _guest(host: Host, pid: str) -> str | None:
    """Return the guest's name in QEMU's ``-name guest=web,...``."""
    words = (host.tree.raw(f'proc/{pid}/cmdline') or b'').split(b'\0')
    for before, word in zip(words, words[1:], strict=False):
        if before == b'-name':
            match = re.match(
                r'(?:guest=)?([^,]+)', word.decode(errors='replace')
            )
            return match[1] if match else None
    return None


def _of_interfaces(host: Host, device: PciDevice) -> Iterator[Holder]:
    for name in device.interfaces:
        above = interfaces.uppers(host, name)
        if above:
            yield Holder(
                device.address,
                None,
                f'its interface {name} has upper devices: {", ".join(above)}',
            )
        elif carried := interfaces.carries(host, name):
            yield Holder(
                device.address, None, f'its interface {name}: {carried[0]}'
            )
    if device.driver and not device.interfaces and _is_network(device):
        yield Holder(
            device.address,
            None,
            f'its driver {device.driver} has no interface here: it is in '
            f'another network namespace (a container) or used by a program',
        )


def _is_network(device: PciDevice) -> bool:
    return device.pci_class.startswith('02')
