"""Plan virtual functions: select PFs and set their number of VFs.

See the kernel's Documentation/PCI/pci-iov-howto.rst and
drivers/pci/pci-sysfs.c.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Item, Note, Refusal, sysfs
from kvm_tuning.host.prep.groups.sriov import (
    identity,
    max_vfs,
    models,
    selectors,
)
from kvm_tuning.host.prep.groups.sriov.models import Model
from kvm_tuning.host.prep.kinds import vf_count

CONCERN = 'sriov'
_MOST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted VFs."""

    #: The number of VFs by the operator's name of ports: an interface, a PCI
    #: address or ``driver:NAME``.
    vfs: Mapping[str, int] = field(default_factory=dict)
    method: str = 'auto'
    #: Whether method ``max_vfs`` may reload the driver.
    reload: bool = False


@dataclass(frozen=True, slots=True)
class Pf:
    """A PF, or a function that could be one."""

    device: PciDevice
    #: Its interface's name, or its address where it has none.
    name: str
    model: Model
    #: Whether the kernel offers VFs of it, and how many it has.
    offered: bool
    count: int
    #: Its MAC addresses: the one in force, and the card's own.
    macs: frozenset[str] = frozenset()

    @property
    def able(self) -> bool:
        """Whether it can have VFs at all."""
        return self.offered or bool(self.model.limit)


@dataclass(frozen=True, slots=True)
class State:
    """Ports, drivers and IOMMU of the host."""

    #: All network functions that are not VFs, by address.
    pfs: tuple[Pf, ...]
    igb: max_vfs.Driver
    iommu: bool


def read(host: Host) -> State:
    """Read ports, drivers and IOMMU of the host."""
    return State(
        tuple(
            _pf(host, device)
            for device in host.inventory.devices
            if device.pf is None and device.pci_class.startswith(('02', '0c'))
        ),
        max_vfs.read(host, 'igb'),
        bool(host.tree.names('sys/kernel/iommu_groups')),
    )


def _pf(host: Host, device: PciDevice) -> Pf:
    shown = vf_count.read(host.tree, vf_count.path(device.address))
    port = identity.read(host, device)
    return Pf(
        device,
        device.interfaces[0] if device.interfaces else device.address,
        models.find(device.vendor, device.product, device.driver),
        shown is not None,
        len(device.vfs) if shown is None else int(shown),
        frozenset(filter(None, (port.mac, port.permanent_mac))),
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals, notes and refusals for ``wanted``."""
    chosen: dict[str, tuple[Pf, int]] = {}
    for selector, count in wanted.vfs.items():
        found = selectors.select(selector, state.pfs)
        if not found:
            text = selectors.unknown(selector, _known(state.pfs))
            yield Refusal(CONCERN, selector, text, absent=True)
        for pf in found:
            before = chosen.setdefault(pf.device.address, (pf, count))
            if before[1] != count:
                yield Refusal(
                    CONCERN,
                    selector,
                    f'{pf.name} gets {count} VFs by this line and {before[1]} '
                    f'by another',
                )
    able = []
    for pf, count in chosen.values():
        reason = incapable(pf, count)
        if reason:
            yield Refusal(CONCERN, pf.name, reason)
        else:
            able.append((pf, count))
    yield from _parameters(wanted, state, able)
    yield from _before_the_network(able)
    for pf, count in able:
        yield sysfs(
            CONCERN,
            vf_count.path(pf.device.address),
            str(pf.count),
            str(count),
            f'VFs of {pf.name} ({pf.model.name}) for guests',
            title=f'VFs of {pf.name}',
        )
    if any(count for _pf, count in able) and not state.iommu:
        yield Note(
            CONCERN,
            'the host has no IOMMU groups: VFs can be used by the host and by '
            'macvtap, but cannot be assigned to a guest',
        )


def _parameters(
    wanted: Wanted, state: State, able: list[tuple[Pf, int]]
) -> Iterator[Item]:
    """Yield the items about igb's max_vfs, whoever sets it."""
    ports = {pf.device.address: (pf.device, n) for pf, n in able}
    broken = []
    if any(max_vfs.is_of(pf.device, pf.model, 'igb') for pf, _n in able):
        broken = list(max_vfs.broken(state.igb))
    yield from broken
    if wanted.method == 'max_vfs' and able and not broken:
        yield from max_vfs.plan(ports, state.igb, wanted.reload)


def _before_the_network(able: list[tuple[Pf, int]]) -> Iterator[Note]:
    names = [pf.name for pf, n in able if n and pf.model.wants_up]
    if names:
        yield Note(
            CONCERN,
            f'{", ".join(names)}: the driver makes VFs only while the port is '
            f'up, and at boot host-prep runs before the network brings it up; '
            f'have something that runs before it do "ip link set PORT up"',
        )


def incapable(pf: Pf, count: int) -> str | None:
    """Return why a function cannot have ``count`` VFs; None when it can."""
    if pf.model.capable is False:
        return f'{pf.model.name} does not support SR-IOV'
    limit = pf.model.limit
    if limit is not None and count > limit:
        return f'{pf.model.name} has at most {limit} VFs, not {count}'
    if pf.model.firmware and pf.device.total_vfs < max(count, 1):
        return (
            f'its firmware is set to {pf.device.total_vfs} VFs: set '
            f'SRIOV_EN=1 and NUM_OF_VFS={count} with mlxconfig, and reboot'
        )
    if not pf.offered:
        return (
            'the kernel offers no VFs of it (no sriov_numvfs): SR-IOV is off '
            'in the firmware, or the card does not support it'
        )
    if count > pf.device.total_vfs:
        return f'it has at most {pf.device.total_vfs} VFs, not {count}'
    if count and not pf.device.driver:
        return 'no driver is bound to it, and the driver creates the VFs'
    return None


def _known(pfs: tuple[Pf, ...]) -> str:
    shown = [f'{pf.name} ({pf.device.address})' for pf in pfs[:_MOST_SHOWN]]
    more = len(pfs) - len(shown)
    return ', '.join(shown) + (f' and {more} more' if more else '')
