"""Read who has which pCPUs of a host, and plan where they belong."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kvm_tuning.adapters import standalone
from kvm_tuning.conf import placement
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import WrongUsage
from kvm_tuning.core.healing import host, occupants
from kvm_tuning.core.healing.host import HostPlan
from kvm_tuning.core.healing.occupants import Choice, Occupant
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.host.inventory import reader

if TYPE_CHECKING:
    from oslo_config import cfg


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may move, and for what."""

    #: Most dedicated vCPUs, as a share from 0 to 1; None: any number.
    budget: float | None = None
    #: Least L3 domains won per moved vCPU.
    gain: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the host that it is for."""

    inventory: Inventory
    plan: HostPlan


def make(
    records: Sequence[Record],
    conf: 'cfg.ConfigOpts',
    choice: Choice,
    limits: Limits,
    root: str = '/',
) -> Planned:
    """Plan the guests of the host below ``root``.

    :raises Unsupported: its L3 layout is unknown, or two guests have one
        pCPU.
    :raises WrongUsage: there is no guest of a name that was given.
    """
    _check_names(records, choice)
    inventory = reader.read(root)
    policy = placement.policy(conf, inventory)
    found = occupants.read(records, inventory, choice)
    claims = ledger(records, conf, inventory, root)
    own = {each.uuid: _own(each) for each in found}
    taken = {
        cpu: claim.name
        for claim in reversed(claims.claims)
        for cpu in claim.pcpus - own.get(claim.owner, frozenset())
    }
    return Planned(
        inventory,
        host.make(
            inventory,
            found,
            policy.dedicated_cpus,
            taken,
            limits.budget,
            limits.gain,
        ),
    )


def ledger(
    records: Sequence[Record],
    conf: 'cfg.ConfigOpts',
    inventory: Inventory,
    root: str,
) -> Ledger:
    """Return what guests, and processes that are none, hold."""
    policy = placement.policy(conf, inventory)
    return standalone.claimed(records, conf, inventory).plus(
        standalone.foreign(records, inventory, policy.dedicated_cpus, root)
    )


def _own(occupant: Occupant) -> frozenset[int]:
    return frozenset(occupant.pins.values()) | occupant.idle


def _check_names(records: Sequence[Record], choice: Choice) -> None:
    known = {name for r in records for name in (r.name, r.uuid)}
    for option, names in (
        ('--guests', choice.guests),
        ('--keep', choice.keep),
    ):
        if missing := sorted(names - known):
            raise WrongUsage(f'{option}: there is no guest {missing[0]!r}')


def without(choice: Choice, busy: Collection[str]) -> Choice:
    """Return a choice in which guests with a job of libvirt stay."""
    return replace(choice, busy=frozenset(busy))
