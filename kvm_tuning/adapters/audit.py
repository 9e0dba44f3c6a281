"""Audit guests of this host's libvirt: read and compare, change nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kvm_tuning.adapters import standalone
from kvm_tuning.core import domain
from kvm_tuning.core.audit import compare as audit_
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument, InventoryUnreadable
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.host.guests import observe
from kvm_tuning.host.inventory import reader as inventory_

if TYPE_CHECKING:
    from oslo_config import cfg


#: The code of a finding for a running guest that cannot be examined.
NOT_OBSERVED = 'not-observed'


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
    inventory = inventory_.read(root)
    ledger = standalone.ledger(libvirt, conf, root)
    if names:
        records = [libvirt.record(name) for name in names]
    else:
        records = [each for each in libvirt.records() if _tuned(each)]
    return [
        _audit(
            libvirt if monitor else None,
            record,
            inventory,
            ledger.without(record.uuid),
            root,
        )
        for record in records
    ]


def _tuned(record: Record) -> bool:
    for xml in (record.defined, record.live):
        if xml is None:
            continue
        try:
            if domain.read(xml).receipt is not None:
                return True
        except InvalidDocument:
            # Its receipt cannot be read: that is a finding.
            return True
    return False


def _audit(
    libvirt: Libvirt | None,
    record: Record,
    inventory: Inventory,
    others: Ledger,
    root: str,
) -> Audited:
    running = record.live is not None
    try:
        live = None if record.live is None else domain.read(record.live)
        defined = (
            None if record.defined is None else domain.read(record.defined)
        )
    except InvalidDocument as error:
        return Audited(record.name, running, (audit_.unreadable(error),))
    observed = None
    if record.live is not None:
        try:
            observed = observe.observe(
                observe.find(record.uuid, record.name, root),
                record.live,
                root,
                None if libvirt is None else libvirt.monitor(record.name),
            )
        except InventoryUnreadable as error:
            return Audited(record.name, running, (_unseen(error),))
    shown: Domain | None = live or defined
    assert shown is not None
    receipt = (defined or shown).receipt
    return Audited(
        record.name,
        running,
        audit_.compare(shown, receipt, observed, inventory, others),
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
