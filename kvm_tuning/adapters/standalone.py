"""Tunes guests of this host's libvirt, without Nova.

Reading who holds what, planning and defining are one step under one lock, so
that two processes never give one pCPU to two guests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from kvm_tuning.adapters import lock
from kvm_tuning.conf import placement
from kvm_tuning.core import claims, domain, drift, plan, restart
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import (
    LibvirtFailed,
    SettingRejected,
    Unsupported,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.request import Request
from kvm_tuning.core.restart import Pending
from kvm_tuning.core.site import Capabilities, Site
from kvm_tuning.hooks.base import Hook
from kvm_tuning.host.inventory import reader as inventory_
from kvm_tuning.host.probes import prober

if TYPE_CHECKING:
    from oslo_config import cfg

#: The owner of what ``--taken`` names.
TAKEN = '--taken'

_Version = tuple[int, int, int]


class Reader(Protocol):
    """What is needed of libvirt to see who holds what."""

    def records(self) -> list[Record]: ...


class Libvirt(Reader, Protocol):
    """What is needed of libvirt; see
    :class:`kvm_tuning.adapters.connection.Connection`.
    """

    def versions(self) -> tuple[_Version | None, _Version | None]: ...

    def record(self, name: str, secure: bool = False) -> Record: ...

    def define(self, name: str, xml: str) -> None: ...

    def start(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a guest's definition."""

    guest: str
    changed: bool
    running: bool
    #: What the running guest does not have before it restarts.
    pending: tuple[Pending, ...] = ()
    #: None: the tuning was taken back.
    plan: Plan | None = None
    #: Addresses that somebody else has changed: left as they are.
    foreign: tuple[str, ...] = ()


def ledger(libvirt: Reader, conf: 'cfg.ConfigOpts', root: str = '/') -> Ledger:
    """Return who holds what on this host.

    :raises LibvirtFailed: libvirt does not say.
    """
    inventory = inventory_.read(root, devices=False)
    return claimed(libvirt.records(), conf, inventory)


def claimed(
    records: Sequence[Record], conf: 'cfg.ConfigOpts', inventory: Inventory
) -> Ledger:
    """Return who holds what, of what libvirt says of its domains."""
    policy = placement.policy(conf, inventory)
    return claims.read(records, inventory.online, policy.dedicated_cpus)


def site(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    guest: Guest,
    cpusets: Mapping[str, str] | None = None,
    taken: str | None = None,
    root: str = '/',
) -> Site:
    """Return the site as it is for ``guest``: without its own claims, and
    with what it has of the host as free.

    :param cpusets: CPU lists that go before the configuration's, by option.
    :param taken: CPU list of what others hold beside the guests.
    """
    inventory = inventory_.read(root)
    policy = placement.policy(conf, inventory, cpusets)
    everything = claims.read(
        libvirt.records(), inventory.online, policy.dedicated_cpus
    )
    own = [claim for claim in everything.claims if _is_of(claim, guest)]
    others = Ledger(
        tuple(claim for claim in everything.claims if claim not in own)
    )
    # What it was given by hand is not to be given to it again.
    others = others.plus(
        [Claim(guest.owner, guest.name, devices=frozenset(guest.host_devices))]
    )
    if taken is not None:
        held = placement.cpus(TAKEN, taken, inventory) or frozenset()
        others = others.plus([Claim(TAKEN, TAKEN, pcpus=held)])
    return Site(
        _credit(inventory, own),
        others,
        _capabilities(libvirt, guest, root),
        policy,
    )


def tune(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    request: Request,
    name: str,
    root: str = '/',
) -> Change:
    """Plan a guest and rewrite its definition, under the lock.

    :raises RequestError: the request contradicts itself or the guest.
    :raises Refused: this host cannot keep a promise.
    :raises LibvirtFailed: libvirt rejects the definition; the old one stays.
    :raises SettingRejected: libvirt took it, and left out what was promised;
        the old one is back.
    """
    with lock.held(conf):
        record = libvirt.record(name, secure=True)
        found = domain.read(definition(record))
        here = site(libvirt, conf, found.guest, root=root)
        made = plan.make(hooks, request, found.guest, here)
        change = write(libvirt, record, found, domain.tune(found, made))
    return replace(change, plan=made)


def undo(libvirt: Libvirt, conf: 'cfg.ConfigOpts', name: str) -> Change:
    """Take the tuning of a guest's definition back, under the lock.

    :raises LibvirtFailed: libvirt rejects the definition of before.
    """
    with lock.held(conf):
        record = libvirt.record(name, secure=True)
        found = domain.read(definition(record))
        change = write(libvirt, record, found, domain.undo(found))
    return replace(change, foreign=found.untuned.foreign)


def _is_of(claim: Claim, guest: Guest) -> bool:
    if guest.uuid is None:
        return claim.name == guest.name
    return claim.owner == guest.uuid


def definition(record: Record) -> str:
    """Return the definition of a guest.

    :raises Unsupported: it has none.
    """
    if record.defined is None:
        raise Unsupported(
            f'guest {record.name!r} is transient: it has no definition that '
            f'could be tuned; define it first'
        )
    return record.defined


def write(
    libvirt: Libvirt, record: Record, before: Domain, xml: str
) -> Change:
    """Write a definition, and see that all that was promised is in it.

    The lock has to be held.

    :raises LibvirtFailed: libvirt rejects it; the old one stays.
    :raises SettingRejected: libvirt left something out; the old one is back.
    """
    running = record.live is not None
    after = before
    if xml != record.defined:
        libvirt.define(record.name, xml)
        after = domain.read(
            definition(libvirt.record(record.name, secure=True))
        )
        _check_kept(libvirt, record, after)
    pending: tuple[Pending, ...] = ()
    if record.live is not None:
        live = domain.read_without_receipt(record.live)
        pending = restart.pending(
            after.root, live.root, (before.receipt, after.receipt)
        )
    return Change(record.name, after.xml != record.defined, running, pending)


def _check_kept(libvirt: Libvirt, record: Record, after: Domain) -> None:
    """Put the old definition back when libvirt has dropped a promise: what
    it does not know it leaves out without a word.
    """
    promises = () if after.receipt is None else after.receipt.promises
    lost = [
        f'{point.address} (wanted {point.wanted}, found {point.found})'
        for promise in promises
        for point in drift.points(after.root, promise, live=False)
        if not point.same
    ]
    if not lost:
        return
    what = f'libvirt does not keep {"; ".join(lost)} of {record.name!r}'
    try:
        libvirt.define(record.name, definition(record))
    except LibvirtFailed as error:
        raise SettingRejected(
            f'{what}, and the definition of before could not be put back: '
            f'{error}'
        ) from error
    raise SettingRejected(f'{what}; the definition of before is back')


def _credit(inventory: Inventory, own: Sequence[Claim]) -> Inventory:
    """Return the inventory with the huge pages that the guest itself has in
    use as free ones: a plan of it may use them again.
    """
    pages: dict[tuple[int, int], int] = {}
    for claim in own:
        if claim.pages_in_use:
            for key, count in claim.pages.items():
                pages[key] = pages.get(key, 0) + count
    if not pages:
        return inventory
    return replace(
        inventory,
        cells=tuple(
            replace(
                cell,
                pages=tuple(
                    replace(
                        pool,
                        free=min(
                            pool.total,
                            pool.free + pages.get((cell.id, pool.size_kib), 0),
                        ),
                    )
                    for pool in cell.pages
                ),
            )
            for cell in inventory.cells
        ),
    )


def _capabilities(libvirt: Libvirt, guest: Guest, root: str) -> Capabilities:
    libvirt_version, qemu_version = libvirt.versions()
    paths = [disk.source for disk in guest.disks if disk.source is not None]
    return prober.probe(paths, root, libvirt_version, qemu_version)
