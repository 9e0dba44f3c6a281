"""How many more guests fit on a host, guests of libvirt included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_tuning.adapters import offline
from kvm_tuning.core.capacity import count, free
from kvm_tuning.core.capacity.count import Capacity
from kvm_tuning.core.capacity.free import Free
from kvm_tuning.core.claims import Record
from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.plan import Hook
from kvm_tuning.core.request import Request

if TYPE_CHECKING:
    from oslo_config import cfg


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on a host, and what fits into it."""

    cells: tuple[Free, ...]
    #: In the order of the requests: each of them alone.
    flavors: tuple[Capacity, ...]
    #: What was assumed.
    notes: tuple[Consequence, ...]


def room(
    root: str,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    requests: Sequence[Request],
    records: Sequence[Record] = (),
    cpusets: Mapping[str, str] | None = None,
    taken: str | None = None,
) -> Room:
    """Return what fits on the host below ``root``.

    :param records: its guests.
    :param cpusets: CPU lists that override the configuration's, by option.
    :param taken: CPU list of what others hold.
    :raises ConfigInvalid: the configuration or a CPU list is wrong.
    :raises InventoryUnreadable: the host's files are not as documented.
    :raises RequestError: a request contradicts itself.
    """
    site, notes = offline.site(
        root, conf, cpusets or {}, taken, records=records
    )
    return Room(
        free.read(site),
        tuple(count.count(hooks, request, site) for request in requests),
        notes,
    )
