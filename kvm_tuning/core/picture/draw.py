"""Make the picture of a host from its inventory and what is known of its
guests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import string

from kvm_tuning.core.assess import place
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.guest import Guest
from kvm_tuning.core.inventory import (
    NO_CELL,
    BlockDevice,
    Inventory,
    PciDevice,
)
from kvm_tuning.core.observed import Kind, Unknown
from kvm_tuning.core.picture.model import (
    Cell,
    Device,
    Domain,
    Mark,
    Picture,
    Resident,
)

#: The base class of a PCI class code: display controllers, and processing
#: accelerators (PCI Code and ID Assignment Specification).
_GPUS = ('03', '12')
#: Threads that are not vCPUs and have a pCPU of somebody's choice.
_HELPERS = (Kind.EMULATOR, Kind.IOTHREAD, Kind.VHOST)


def picture(inventory: Inventory, guests: Iterable[Assessed] = ()) -> Picture:
    """Return the picture of a host with these guests."""
    found = sorted(guests, key=lambda each: each.guest.setup.name)
    devices = list(_devices(inventory))
    return Picture(
        tuple(_cells(inventory, devices)),
        tuple(
            _resident(each, mark, inventory)
            for each, mark in zip(found, marks(len(found)), strict=True)
        ),
        tuple(
            device for cell, device in devices if cell not in inventory.cell
        ),
    )


def marks(count: int) -> list[str]:
    """Return labels of guests: one letter, or two where there are more guests
    than letters.
    """
    letters = string.ascii_uppercase
    if count <= len(letters):
        return list(letters[:count])
    # A digit tells the second sign from a first one: A0 ... Z9, then letters.
    seconds = string.digits + string.ascii_lowercase
    found = [one + two for one in letters for two in seconds]
    return [
        *found[:count],
        *(f'Z{number}' for number in range(len(found), count)),
    ]


def _cells(
    inventory: Inventory, devices: Sequence[tuple[int | None, Device]]
) -> Iterator[Cell]:
    packages = {cpus: n for n, cpus in enumerate(inventory.packages)}
    number = {cpus: n for n, cpus in enumerate(inventory.l3)}
    known = {cell.id: cell for cell in inventory.cells}
    homes = {cpu.cell for cpu in inventory.cpus}
    for id in sorted({*known, *homes}):
        cell = known.get(id)
        cpus = [cpu for cpu in inventory.cpus if cpu.cell == id]
        domains: dict[int | None, set[tuple[int, ...]]] = {}
        for cpu in cpus:
            l3 = None if cpu.l3 is None else number[cpu.l3]
            domains.setdefault(l3, set()).add(tuple(sorted(cpu.core)))
        yield Cell(
            id,
            tuple(sorted({packages[cpu.package] for cpu in cpus})),
            cell.memory_bytes if cell else 0,
            cell.free_memory_bytes if cell else 0,
            cell.pages if cell else (),
            tuple(
                Domain(l3, tuple(sorted(cores)))
                for l3, cores in sorted(
                    domains.items(), key=lambda each: min(each[1])
                )
            ),
            tuple(device for at, device in devices if at == id != NO_CELL),
        )


def _devices(inventory: Inventory) -> Iterator[tuple[int | None, Device]]:
    """Yield what is worth showing, with its cell."""
    for each in inventory.devices:
        if each.kind == 'pf':
            yield each.cell, _pf(each)
        elif each.kind == 'function' and _base(each) in _GPUS:
            about = each.driver or 'no driver'
            yield (
                each.cell,
                Device('GPU', each.address, about, frozenset({each.address})),
            )
        elif each.kind == 'function' and each.interfaces:
            yield (
                each.cell,
                Device(
                    'NIC',
                    each.address,
                    ', '.join(each.interfaces),
                    frozenset({each.address}),
                ),
            )
    for disk in inventory.disks:
        if disk.pci is not None:
            yield disk.cell, _disk(disk)


def _base(device: PciDevice) -> str:
    return device.pci_class.removeprefix('0x')[:2]


def _pf(each: PciDevice) -> Device:
    about = f'{len(each.vfs)} of {each.total_vfs} VFs'
    return Device(
        'PF',
        each.address,
        ', '.join((*each.interfaces, about)),
        frozenset({each.address, *each.vfs}),
    )


def _disk(disk: BlockDevice) -> Device:
    size = f'{disk.size_bytes / (1 << 30):.0f} GiB'
    addresses = frozenset({disk.pci} if disk.pci else ())
    return Device('disk', disk.name, size, addresses)


def _resident(each: Assessed, mark: str, inventory: Inventory) -> Resident:
    guest = each.guest
    memory = guest.memory
    cells = None if isinstance(memory, Unknown) else memory.cells_kib
    return Resident(
        guest.setup.uuid or guest.key,
        mark,
        guest.setup.name,
        _vcpus(guest, inventory),
        tuple(_helpers(guest)),
        guest.setup.memory_kib,
        None if isinstance(cells, Unknown) else cells,
        frozenset(guest.setup.functions),
        tuple(
            Mark(f.code, f.severity.value, f.evidence, f.where.pcpus)
            for f in each.findings
        ),
    )


def _vcpus(guest: Guest, inventory: Inventory) -> Mapping[int, frozenset[int]]:
    where = place.of(guest, inventory)
    if isinstance(where, Unknown):
        return {}
    return dict(enumerate(where.vcpus))


def _helpers(guest: Guest) -> Iterator[tuple[str, frozenset[int]]]:
    """Yield each helper thread's name and pCPUs."""
    if not isinstance(guest.threads, Unknown):
        for thread in guest.threads:
            if thread.kind in _HELPERS and not isinstance(
                thread.cpus, Unknown
            ):
                number = '' if thread.index is None else f' {thread.index}'
                yield f'{thread.kind.value}{number}', thread.cpus
        return
    if guest.setup.emulator_pin is not None:
        yield 'emulator', guest.setup.emulator_pin
    for index, pcpus in sorted(guest.setup.iothread_pins.items()):
        yield f'iothread {index}', pcpus
