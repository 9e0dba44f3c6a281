"""Audit guests of this host's libvirt: read and compare, change nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
import logging
from typing import TYPE_CHECKING, Protocol

from kvm_tuning.adapters import standalone
from kvm_tuning.conf import placement
from kvm_tuning.core.audit import compare
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument, InventoryUnreadable
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.host.guests import observe
from kvm_tuning.host.guests.qemu_process import Found, Processes
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)


#: The code of a finding for a running guest that cannot be examined.
NOT_OBSERVED = 'not-observed'
#: The code of a finding for a process that may not be libvirt's.
CLAIMED = 'process-claimed'


class Libvirt(Protocol):
    """The calls to libvirt that an audit needs."""

    def records(self) -> list[Record]: ...

    def record(self, name: str, secure: bool = False) -> Record: ...

    def monitor(self, name: str) -> observe.Monitor: ...


@dataclass(frozen=True, slots=True)
class Audited:
    """The findings of one guest."""

    guest: str
    running: bool
    findings: tuple[Finding, ...]


def audit(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    names: Sequence[str] = (),
    monitor: bool = False,
    root: str = '/',
) -> list[Audited]:
    """Return the findings of the guests ``names``, or of all tuned guests if
    it is empty.

    :param monitor: ask QEMU itself, too.
    :raises LibvirtFailed: there is no such guest.
    :raises InventoryUnreadable: the host's files are not as documented.
    """
    inventory = reader.read(root)
    records = libvirt.records()
    policy = placement.policy(conf, inventory)
    ledger = standalone.claimed(records, conf, inventory).plus(
        standalone.foreign(records, inventory, policy.dedicated_cpus, root)
    )
    if names:
        wanted = [libvirt.record(name) for name in names]
    else:
        wanted = [each for each in records if tuned(each)]
    host = _Host(inventory, ledger, Processes(root), root)
    return [
        _audit(libvirt if monitor else None, record, host) for record in wanted
    ]


@dataclass(frozen=True, slots=True)
class _Host:
    """What is read once for all guests."""

    inventory: Inventory
    ledger: Ledger
    processes: Processes
    root: str


def tuned(record: Record) -> bool:
    """Tell whether a guest has a receipt, readable or not."""
    try:
        found = (record.definition, record.running)
    except InvalidDocument:
        # What cannot be read at all is a finding, too.
        return True
    return any(
        each is not None
        and (each.receipt is not None or each.unreadable is not None)
        for each in found
    )


def _audit(libvirt: Libvirt | None, record: Record, host: _Host) -> Audited:
    running = record.live is not None
    LOG.debug('guest %s: compare its promises with what it has', record.name)
    try:
        live, defined = record.running, record.definition
    except InvalidDocument as error:
        return Audited(record.name, running, (compare.unreadable(error),))
    for each in (live, defined):
        if each is not None and each.unreadable is not None:
            found = compare.unreadable(each.unreadable)
            return Audited(record.name, running, (found,))
    observed = None
    claimed: tuple[Finding, ...] = ()
    if live is not None:
        try:
            process = host.processes.claimed(record.uuid, record.name)
            observed = observe.observe(
                process.pid,
                live,
                host.root,
                None if libvirt is None else libvirt.monitor(record.name),
                host.processes,
            )
        except InventoryUnreadable as error:
            return Audited(record.name, running, (_unseen(error),))
        if process.claimed is not None:
            claimed = (_claimed(process),)
    shown: Domain | None = live or defined
    assert shown is not None
    receipt = (defined or shown).receipt
    compared = compare.compare(
        shown, receipt, observed, host.inventory, host.ledger, record.uuid
    )
    return Audited(record.name, running, (*compared, *claimed))


def _claimed(process: Found) -> Finding:
    return Finding(
        Severity.UNKNOWN,
        'guest/process',
        "libvirt's QEMU of this guest",
        f'process {process.pid}, by its arguments alone: {process.claimed}',
        'anybody can start a QEMU with these arguments; what was found may '
        'not be of this guest',
        CLAIMED,
    )


def _unseen(error: InventoryUnreadable) -> Finding:
    return Finding(
        Severity.UNKNOWN,
        'guest',
        'a process that can be examined',
        str(error),
        'nothing of this guest could be audited',
        NOT_OBSERVED,
    )
