"""Choose VFs and other PCI functions near a guest's host cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from kvm_tuning.core.demands import Affinity, DeviceDemand
from kvm_tuning.core.inventory import Inventory, PciDevice
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import matching


class Offer(NamedTuple):
    """A demand and the free functions that match it, by address."""

    demand: DeviceDemand
    free: tuple[PciDevice, ...]


class Chosen(NamedTuple):
    """Addresses by the demand's key, and how far away they are."""

    devices: Mapping[str, tuple[str, ...]]
    #: The sum over all: 0 in a cell of the guest, 1 in an unknown cell or in
    #: one of the same package (affinity socket), 2 elsewhere.
    away: int


NONE = Chosen({}, 0)


def offers(demands: Iterable[DeviceDemand], site: Site) -> list[Offer]:
    """Return the free functions for each demand.

    A PF is not free while a guest holds one of its VFs, nor is a VF whose PF
    is held, nor a function whose NIC a guest has to itself, by macvtap.
    """
    inventory, held = site.inventory, _held(site)
    return [
        Offer(
            demand,
            tuple(
                device
                for device in inventory.devices
                if device.address in demand.present
                or not demand.present
                and device.address not in held
                and device.pf not in held
                and held.isdisjoint(device.vfs)
                and matches(device, demand.match)
                and not any(
                    matches(device, {name: values})
                    for name, values in demand.unlike.items()
                )
            ),
        )
        for demand in demands
    ]


def _held(site: Site) -> frozenset[str]:
    """Return what guests hold; a function also counts where it is held by the
    name of its NIC.
    """
    held = site.ledger.devices
    nics = {name for name in held if name.startswith('nic/')}
    if not nics:
        return held
    return held.union(
        device.address
        for device in site.inventory.devices
        if not nics.isdisjoint(f'nic/{name}' for name in device.interfaces)
    )


def matches(device: PciDevice, match: Mapping[str, frozenset[str]]) -> bool:
    """Return whether each attribute named in ``match`` has an allowed value.

    An attribute that holds several values matches if any of them does.
    """
    for name, allowed in match.items():
        value = getattr(device, name, None)
        values = value if isinstance(value, tuple) else (value,)
        if not any(str(one) in allowed for one in values):
            return False
    return True


def choose(
    offered: Sequence[Offer],
    cells: frozenset[int] | None,
    inventory: Inventory,
) -> Chosen | None:
    """Return the nearest functions for guest cells on host ``cells``.

    What the guest has already counts for the distance alone.

    :param cells: None: the guest has no cells, so any function is near.
    :returns: None when the demands cannot all be met there.
    """
    found = _choose(offered, cells, inventory)
    if found is None:
        return None
    devices = {
        offer.demand.key: found.devices[offer.demand.key]
        for offer in offered
        if not offer.demand.present
    }
    return Chosen(devices, found.away)


def _choose(
    offered: Sequence[Offer],
    cells: frozenset[int] | None,
    inventory: Inventory,
) -> Chosen | None:
    if not offered:
        return NONE
    near = _neighbours(cells, inventory)
    units: list[tuple[str, list[tuple[int, str]]]] = []
    for demand, free in offered:
        ranked = sorted(
            (distance, device.address)
            for device in free
            if (distance := _distance(demand, device, cells, near)) is not None
        )
        if len(ranked) < demand.count:
            return None
        units += [(demand.key, ranked)] * demand.count
    if len(offered) == 1:
        ranked = units[0][1][: len(units)] if units else []
        return Chosen(
            {offered[0].demand.key: tuple(sorted(a for _, a in ranked))},
            sum(distance for distance, _ in ranked),
        )
    return _shared_out([offer.demand.key for offer in offered], units)


def _shared_out(
    keys: Sequence[str], units: list[tuple[str, list[tuple[int, str]]]]
) -> Chosen | None:
    """Give each unit a function when demands may compete for them."""
    addresses = sorted({a for _, ranked in units for _, a in ranked})
    position = {address: i for i, address in enumerate(addresses)}
    costs: list[list[int | None]] = []
    for _, ranked in units:
        line: list[int | None] = [None] * len(addresses)
        for distance, address in ranked:
            # Among equals the lowest addresses: a tie-breaker that never
            # outweighs a distance.
            line[position[address]] = (
                distance * len(addresses) ** 2 + position[address]
            )
        costs.append(line)
    found = matching.assign(costs)
    if found is None:
        return None
    devices: dict[str, list[str]] = {key: [] for key in keys}
    away = 0
    for (key, ranked), column in zip(units, found, strict=True):
        address = addresses[column]
        devices[key].append(address)
        away += next(d for d, a in ranked if a == address)
    return Chosen({k: tuple(sorted(v)) for k, v in devices.items()}, away)


def _neighbours(
    cells: frozenset[int] | None, inventory: Inventory
) -> frozenset[int]:
    """Return the cells of the packages that ``cells`` belong to."""
    if cells is None:
        return frozenset()
    own = {cpu.package for cpu in inventory.cpus if cpu.cell in cells}
    return frozenset(cpu.cell for cpu in inventory.cpus if cpu.package in own)


def _distance(
    demand: DeviceDemand,
    device: PciDevice,
    cells: frozenset[int] | None,
    near: frozenset[int],
) -> int | None:
    """Return how far a function is, as Nova's affinities see it.

    ``nova.pci.stats.PciDeviceStats._filter_pools_for_numa_cells``: legacy
    accepts a function whose cell is unknown, never one of another cell.
    """
    if cells is None or device.cell in cells:
        return 0
    affinity = demand.affinity
    if affinity is Affinity.REQUIRED:
        return None
    if affinity is Affinity.SOCKET:
        return 1 if device.cell in near else None
    if device.cell is None:
        return 1
    return 2 if affinity is Affinity.PREFERRED else None
