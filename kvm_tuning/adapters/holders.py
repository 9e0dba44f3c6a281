"""The guests of this host's libvirt, and what each of them holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvm_tuning.adapters import standalone
from kvm_tuning.adapters.standalone import Reader
from kvm_tuning.core import cpuset
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim
from kvm_tuning.host.guests.settings import THREADS
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg

Cpus = frozenset[int]


@dataclass(frozen=True, slots=True)
class Holder:
    """A guest and what it holds."""

    name: str
    running: bool
    #: The flavor of its receipt; '' for none.
    flavor: str
    claims: tuple[Claim, ...]
    #: Its VFs as PF/index, the PF by its interface's name if it has one.
    vfs: tuple[str, ...] = ()
    #: Where its threads other than the vCPUs belong: ``emulator``, ``vhost``,
    #: ``iothread 1`` ...
    threads: Mapping[str, Cpus] = field(default_factory=dict)
    #: Queues of those NICs and disks that have several, by MAC or target.
    queues: Mapping[str, int] = field(default_factory=dict)


def read(
    libvirt: Reader, conf: 'cfg.ConfigOpts', root: str = '/'
) -> list[Holder]:
    """Return all guests of this host, by name.

    :raises LibvirtFailed: libvirt does not answer.
    """
    records = libvirt.records()
    inventory = reader.read(root)
    found = standalone.claimed(records, conf, inventory)
    return [
        _holder(
            record,
            found.by_owner.get(record.uuid, ()),
            inventory,
        )
        for record in records
    ]


def _holder(
    record: Record, claims: tuple[Claim, ...], inventory: Inventory
) -> Holder:
    # What runs is what counts; a flavor may have been changed since.
    shown = record.running or record.definition
    if shown is None:
        raise InvalidDocument(f'guest {record.name!r} has no document')
    held = [address for claim in claims for address in claim.devices]
    return Holder(
        record.name,
        record.live is not None,
        _flavor(record.definition or shown),
        claims,
        _vfs(held, inventory),
        _threads(shown),
        _queues(shown.current),
    )


def _flavor(shown: Domain) -> str:
    if shown.unreadable is not None:
        return '(receipt unreadable)'
    return '' if shown.receipt is None else shown.receipt.flavor


def _vfs(held: Sequence[str], inventory: Inventory) -> tuple[str, ...]:
    nics = [name.removeprefix('nic/') for name in held if '/' in name]
    found = []
    for pf, index in sorted(inventory.vfs(held, nics)):
        names = (
            inventory.device[pf].interfaces if pf in inventory.device else ()
        )
        found.append(f'{names[0] if names else pf}/{index}')
    return tuple(found)


def _threads(shown: Domain) -> dict[str, Cpus]:
    guest = shown.current
    found: dict[str, Cpus] = {}
    if guest.emulator_pin is not None:
        found['emulator'] = guest.emulator_pin
    for number, cpus in sorted(guest.iothread_pins.items()):
        found[f'iothread {number}'] = cpus
    settings = () if shown.receipt is None else shown.receipt.settings
    for setting in settings:
        if setting.kind == THREADS:
            try:
                found[setting.name] = cpuset.parse(setting.value)
            except ValueError:
                # Somebody edited the receipt: the audit reports it.
                continue
    return found


def _queues(guest: Guest) -> dict[str, int]:
    named = [(nic.mac or '', nic.driver) for nic in guest.interfaces]
    named += [(disk.target, disk.driver) for disk in guest.data_disks]
    return {
        name: int(driver['queues'])
        for name, driver in named
        if driver.get('queues', '').isdecimal()
    }
