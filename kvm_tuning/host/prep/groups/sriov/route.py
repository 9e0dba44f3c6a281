"""Find the route to another number of VFs, and what stands in its way.

sriov_numvfs takes 0, or a number while it is 0 (EBUSY otherwise). Each change
removes all VFs of the port, and with igb and others the link of the PF goes
down for a moment. VFs do not have an address before they exist, so they are
named by PF and index.
"""

from collections.abc import Iterator
import errno
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.host.inventory import interfaces
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import holders
from kvm_tuning.host.prep.goals import (
    Address,
    Companion,
    Note,
    Refusal,
    Route,
    Terms,
    Value,
)
from kvm_tuning.host.prep.groups.sriov import (
    identity,
    models,
    obstacles,
    owners,
    ports,
)
from kvm_tuning.host.prep.holders import Domain
from kvm_tuning.host.prep.kinds import vf_count

CONCERN = ports.CONCERN

MEANINGS = {
    errno.EBUSY: 'the port still has VFs, or one of them is in use',
    errno.ERANGE: 'the card does not have that many VFs',
    errno.EPERM: 'the driver does not allow it: it has too few interrupt '
    'vectors, or a limit of its own',
    errno.ENOENT: 'the driver bound to the port does not support SR-IOV',
    errno.ENOSYS: 'the kernel is built without SR-IOV',
}


def route(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route to a number of VFs of a PF."""
    match = re.fullmatch(vf_count.PATTERN, address[1])
    pf = host.inventory.device.get(match[1]) if match else None
    if pf is None:
        return Route(timeout=terms.write_timeout)
    domains = holders.read_domains(host)
    wanted = int(target or 0)
    names = list(pf.interfaces)
    label = names[0] if names else pf.address
    return Route(
        via=('0',) if found != '0' and target != '0' else (),
        companions=_companions(host, terms, pf, wanted),
        interrupts=tuple(_interrupts(pf, label, found, wanted)),
        guests=_guests(host, pf, domains),
        refusals=(
            *_held(host, pf, label, domains, wanted),
            *_busy(host, pf, label),
            *_owned(host, pf, label, wanted),
            *(
                Refusal(CONCERN, label, why)
                for why in obstacles.find(host, pf, wanted)
            ),
        ),
        notes=tuple(_notes(host, pf, wanted)),
        timeout=terms.write_timeout,
        meanings={**MEANINGS, errno.ENOMEM: obstacles.no_room(host)},
    )


def reload_route(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route of reloading a driver: it affects all its ports, and
    the traffic of those without VFs.
    """
    driver = address[1].partition('.')[0]
    domains = holders.read_domains(host)
    refusals: list[Refusal] = []
    guests: list[str] = []
    labels = []
    for device in host.inventory.devices:
        if device.driver != driver or device.pf is not None:
            continue
        label = device.interfaces[0] if device.interfaces else device.address
        labels.append(label)
        refusals += _held(host, device, label, domains, 0)
        refusals += _busy(host, device, label)
        refusals += _built_upon(host, device, label)
        if device.total_vfs:
            refusals += _owned(host, device, label, int(target or 0))
        guests += _guests(host, device, domains)
    return Route(
        interrupts=(
            f'{driver} is unloaded: {", ".join(labels)} disappear meanwhile',
        ),
        guests=tuple(dict.fromkeys(guests)),
        refusals=tuple(refusals),
        timeout=terms.write_timeout,
    )


def autoprobe(address: str) -> Address:
    """Return the address that controls whether new VFs get a driver."""
    path = f'sys/bus/pci/devices/{address}/sriov_drivers_autoprobe'
    return 'sysfs', path


def _vfs(host: Host, pf: PciDevice) -> list[PciDevice]:
    known = host.inventory.device
    return [known[vf] for vf in pf.vfs if vf in known]


def _companions(
    host: Host, terms: Terms, pf: PciDevice, wanted: int
) -> tuple[Companion, ...]:
    address = autoprobe(pf.address)
    asked = terms.meanwhile.get(address)
    if asked is None or not wanted:
        return ()
    if host.tree.text(address[1]) in (None, asked):
        return ()
    return (Companion(address, asked),)


def _interrupts(
    pf: PciDevice, label: str, found: Value, wanted: int
) -> Iterator[str]:
    if found != '0':
        yield f'all {found} VFs of {label} are removed and created again'
    yield f'the link of {label} goes down for a moment'
    if wanted:
        yield from models.find(pf.vendor, pf.product, pf.driver).costs


def _guests(
    host: Host, pf: PciDevice, domains: tuple[Domain, ...]
) -> tuple[str, ...]:
    """Return the running guests that lose their link or a VF."""
    near = set(pf.interfaces)
    for name in pf.interfaces:
        near.update(interfaces.uppers(host, name))
    for vf in _vfs(host, pf):
        near.update(vf.interfaces)
    addresses = {pf.address, *pf.vfs}
    return tuple(
        domain.name
        for domain in domains
        if domain.running
        and (domain.devices & addresses or domain.interfaces & near)
    )


def _held(
    host: Host,
    pf: PciDevice,
    label: str,
    domains: tuple[Domain, ...],
    wanted: int,
) -> Iterator[Refusal]:
    vfs = _vfs(host, pf)
    try:
        found = holders.find(host, [pf, *vfs], domains)
    except InventoryUnreadable as error:
        yield Refusal(
            CONCERN,
            label,
            f'it is unknown who uses its VFs: {error}; run this as root',
        )
        return
    index = {vf.address: number for number, vf in enumerate(vfs)}
    for holder in found:
        number = index.get(holder.address)
        if number is None:
            # The PF's own interfaces are judged by _busy.
            of_guest = holder.guest is not None
            if not pf.interfaces or (
                of_guest and 'macvtap' not in holder.text
            ):
                yield Refusal(CONCERN, label, holder.text)
            continue
        what = f'VF {number} ({holder.address}): {holder.text}'
        if holder.running:
            yield Refusal(CONCERN, label, what)
        elif number >= wanted:
            yield Refusal(CONCERN, label, what, 'stopped-guest')


def _busy(host: Host, pf: PciDevice, label: str) -> Iterator[Refusal]:
    carried = [
        text
        for name in pf.interfaces
        for text in interfaces.carries(host, name)
    ]
    if carried:
        yield Refusal(CONCERN, label, '; '.join(carried), 'address')
    stored = interfaces.storage(host, pf.address, list(pf.interfaces))
    if stored:
        yield Refusal(CONCERN, label, '; '.join(stored), 'storage')


def _built_upon(host: Host, pf: PciDevice, label: str) -> Iterator[Refusal]:
    # The kernel does not attach a new interface of this name to them again.
    above = [
        upper
        for name in pf.interfaces
        for upper in interfaces.uppers(host, name)
    ]
    if above:
        yield Refusal(
            CONCERN,
            label,
            f'its upper devices would lose it: '
            f'{", ".join(dict.fromkeys(above))}',
        )


def _owned(
    host: Host, pf: PciDevice, label: str, wanted: int
) -> Iterator[Refusal]:
    for owner in owners.find(host, identity.read(host, pf)):
        if owner.active and owner.count != wanted:
            yield Refusal(
                CONCERN, label, f'{owner.name}: {owner.text}', 'managed'
            )


def _notes(host: Host, pf: PciDevice, wanted: int) -> Iterator[Note]:
    if wanted and pf.product in ('10c9', '10e6', '10e7', '10e8', '1526'):
        yield Note(CONCERN, 'VFs of the 82576 do not work in Windows guests')
