"""Propose an exchange for a guest that cannot be placed better alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_tuning.adapters.healing import planned
from kvm_tuning.adapters.healing.mover import Libvirt
from kvm_tuning.adapters.healing.planned import Limits
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.healing.occupants import Choice
from kvm_tuning.core.inventory import Inventory

if TYPE_CHECKING:
    from oslo_config import cfg


@dataclass(frozen=True, slots=True)
class Proposal:
    """An exchange that brings one guest into fewer L3 domains."""

    guest: str
    #: Names of all guests that move, this one included.
    guests: tuple[str, ...]
    #: L3 domains of the guest.
    before: int
    after: int
    #: vCPUs that move.
    moved: int

    def __str__(self) -> str:
        return (
            f'an exchange would bring {self.guest} from {self.before} L3 '
            f'domains into {self.after} ({self.moved} vCPUs move): kvm-tuning '
            f'host rebalance --guests {" ".join(self.guests)}'
        )


def propose(
    libvirt: Libvirt, conf: 'cfg.ConfigOpts', name: str, root: str = '/'
) -> Proposal | None:
    """Return the exchange for a guest; None where there is none."""
    try:
        records = libvirt.records()
        uuid = libvirt.record(name).uuid
        choice = Choice(busy=libvirt.busy())
        whole = planned.make(records, conf, choice, Limits(), root)
        if uuid not in whole.plan.pins:
            return None
        partners = whole.plan.partners(uuid)
        choice = Choice(guests=partners, busy=choice.busy)
        made = planned.make(records, conf, choice, Limits(), root)
    except KvmTuningError:
        # What keeps a host from being healed is not the guest's matter.
        return None
    plan = made.plan
    (own,) = (o for o in plan.occupants if o.uuid == uuid)
    before = _domains(own.pins, made.inventory)
    after = _domains(plan.pins[uuid], made.inventory)
    if after >= before:
        return None
    names = sorted(
        o.name for o in plan.occupants if plan.pins[o.uuid] != o.pins
    )
    return Proposal(own.name, tuple(names), before, after, plan.moved)


def _domains(pins: Mapping[int, int], inventory: Inventory) -> int:
    return len({inventory.cpu[cpu].l3 for cpu in pins.values()})
