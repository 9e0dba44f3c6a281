"""What a guest has already draws its placement: the devices that it drives."""

from collections.abc import Iterable, Iterator

from kvm_tuning.core.demands import (
    Affinity,
    CellDemand,
    Demand,
    DeviceDemand,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.request import Request

_AFFINITY = 'hw:pci_numa_affinity_policy'


def demands(
    request: Request,
    guest: Guest,
    others: Iterable[Demand],
    inventory: Inventory,
) -> Iterator[Demand]:
    """Yield the demand for host cells near the guest's own devices.

    By ``hw:pci_numa_affinity_policy`` where it is set. Otherwise nearness is a
    preference: the guest runs as it is, and nobody has promised anything.

    :param others: what is demanded besides: devices do not matter where no
        vCPU is placed.
    """
    known = inventory.device.keys() & set(guest.host_devices)
    if not known or not any(isinstance(one, CellDemand) for one in others):
        return
    policy = request.value(_AFFINITY)
    yield DeviceDemand(
        key='the devices of the domain',
        count=len(known),
        affinity=Affinity(policy) if policy else Affinity.PREFERRED,
        match={},
        present=frozenset(known),
    )
