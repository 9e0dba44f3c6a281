"""Start guests of this host's libvirt, with what they were promised."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_tuning.adapters import lock, reconcile, standalone
from kvm_tuning.adapters.standalone import Libvirt
from kvm_tuning.core import cpuset
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import (
    Exhausted,
    InventoryUnreadable,
    KvmTuningError,
    SettingRejected,
)
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.host.guests import exchange_journal, observe
from kvm_tuning.host.guests.settings import Engine, Result, Step, Writer
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg


@dataclass(frozen=True, slots=True)
class Started:
    """The outcome of a start."""

    #: Whether it was not running before.
    started: bool
    #: What was set outside its definition.
    steps: tuple[Step, ...] = ()


def start(
    libvirt: Libvirt,
    conf: 'cfg.ConfigOpts',
    name: str,
    root: str = '/',
    writer: Writer | None = None,
) -> Started:
    """Start a guest, with what was promised outside its definition.

    :param hands: who changes this host; None: the privileged process.
    :raises Exhausted: somebody else has what was promised to it.
    :raises JournalFailed: an exchange of its pCPUs is unfinished.
    :raises SettingRejected: its VFs cannot be as promised; they are unchanged,
        and the guest is not started.
    """
    with lock.held(conf):
        record = libvirt.record(name)
        if record.live is not None:
            return Started(False)
        exchange_journal.check_closed(root, record.uuid)
        standalone.definition(record)
        _check_free(record, standalone.ledger(libvirt, conf, root))
        inventory = reader.read(root)
        found = reconcile.promised(record, inventory, running=False)
        if found is None:
            libvirt.start(name)
            return Started(True)
        maker = reconcile.engine(root, writer)
        return _start(libvirt, maker, found, record, root)


def _start(
    libvirt: Libvirt,
    maker: Engine,
    found: reconcile.Promised,
    record: Record,
    root: str,
) -> Started:
    try:
        steps = maker.before_start(found.owner, found.settings)
        failed = [s for s in steps if s.result is Result.FAILED]
        if failed:
            raise SettingRejected(
                f'guest {record.name!r} is not started: '
                + '; '.join(f'{s.kind} {s.name}: {s.detail}' for s in failed)
            )
        libvirt.start(record.name)
    except KvmTuningError:
        maker.restore(lambda entry: entry.owner == record.uuid)
        raise
    try:
        pid = observe.find(record.uuid, record.name, root)
    except InventoryUnreadable as error:
        return Started(True, (*steps, reconcile.failed(record, str(error))))
    after = maker.after_start(found.owner, found.settings, pid, root)
    return Started(True, (*steps, *after))


def _check_free(record: Record, found: Ledger) -> None:
    own = [claim for claim in found.claims if claim.owner == record.uuid]
    others = found.without(record.uuid)
    for claim in own:
        for other in others.claims:
            pcpus = claim.pcpus & other.pcpus
            devices = claim.devices & other.devices
            if pcpus:
                raise Exhausted(
                    f'guest {record.name!r} was promised pCPUs '
                    f'{cpuset.format(pcpus)}, which {other.name!r} holds: '
                    f'tune it again, or move {other.name!r} away'
                )
            if devices:
                raise Exhausted(
                    f'guest {record.name!r} was promised '
                    f'{", ".join(sorted(devices))}, which {other.name!r} has'
                )
