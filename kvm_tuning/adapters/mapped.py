"""Where a guest would be on a host after a plan, for a picture."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kvm_tuning.adapters import offline
from kvm_tuning.core import domain, plan
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import WrongUsage
from kvm_tuning.core.picture.model import Picture
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.plan import Hook
from kvm_tuning.core.request import Request

if TYPE_CHECKING:
    from oslo_config import cfg


def planned(
    before: Picture,
    root: str,
    conf: 'cfg.ConfigOpts',
    hooks: Sequence[Hook],
    request: Request,
    records: Sequence[Record],
    name: str,
) -> Picture:
    """Return the picture of a host after a plan for one of its guests.

    :param records: the guests of the host, and the one of the plan.
    :param name: its name or UUID.
    :raises WrongUsage: there is no such guest.
    :raises RequestError: the plan is refused.
    """
    found = next((r for r in records if name in (r.name, r.uuid)), None)
    if found is None:
        names = ', '.join(sorted(each.name for each in records))
        raise WrongUsage(
            f'--domain {name!r}: there is no such guest; there are: '
            f'{names or "none"}'
        )
    guest = domain.read(found.defined or found.live or '').guest
    others = [each for each in records if each.uuid != found.uuid]
    disks = [disk.source for disk in guest.disks if disk.source]
    site, _notes = offline.site(root, conf, {}, None, disks, others)
    placement = plan.make(hooks, request, guest, site).placement
    return before.placed(
        found.uuid,
        found.name,
        _vcpus(placement, guest.vcpus),
        _cells(placement),
    )


def _vcpus(placement: Placement, count: int) -> Mapping[int, frozenset[int]]:
    """Return the pCPUs of each vCPU; empty: it is placed nowhere."""
    shared = frozenset[int]().union(*(c.shared for c in placement.cells))
    found = dict.fromkeys(range(count), shared) if shared else {}
    return found | {v: frozenset({p}) for v, p in placement.pins.items()}


def _cells(placement: Placement) -> Mapping[int, int] | None:
    """Return how much memory a cell gets, in KiB; None: nothing says."""
    found: dict[int, int] = {}
    for cell in placement.cells:
        kib = found.get(cell.host_cell, 0)
        found[cell.host_cell] = kib + cell.memory_kib
    return found or None
