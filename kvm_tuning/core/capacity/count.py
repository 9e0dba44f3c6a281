"""How many more guests of a flavor fit, and what keeps the next one out.

1. A guest is planned by the same hooks and the same solver as a real one.
2. What it would hold is added to the ledger, and the next one is planned.
3. The one that is refused ends it. It is planned again with one thing at a
   time in abundance: whatever makes it fit is what the host lacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kvm_tuning.core import plan
from kvm_tuning.core.capacity.example import example
from kvm_tuning.core.exceptions import Refused
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.plan import Hook
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site

#: Guests after which counting ends: none holds anything that runs out soon.
MOST = 1000
#: Of what a host has in abundance.
_PLENTY = 1 << 30
_PCPUS, _L3 = 'pCPUs', 'an L3 domain'


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many more guests of one flavor fit."""

    flavor: str
    #: At most :data:`MOST`.
    guests: int
    #: Whether there is no end to them: a guest holds nothing.
    unlimited: bool
    #: What the host lacks for one more: ``pCPUs``, ``an L3 domain``,
    #: ``pages``, ``memory``, ``VFs``. Several: any one of them would do.
    #: None: no single one would.
    limits: tuple[str, ...]
    #: The code and the message of the refusal; '' where there was none.
    code: str
    refusal: str


def count(hooks: Sequence[Hook], request: Request, site: Site) -> Capacity:
    """Return how many more guests fit on a site.

    :raises RequestError: the request contradicts itself.
    :raises HookError: a hook is broken.
    """
    prepared = plan.prepare(hooks, request)
    guests, unlimited = 0, False
    code, refusal = '', ''
    limits: tuple[str, ...] = ()
    while guests < MOST and not unlimited:
        guest = example(request, f'{request.flavor} {guests}')
        try:
            claim = plan.of(prepared, guest, site).claim
        except Refused as error:
            code, refusal = error.code, str(error)
            limits = tuple(_limits(prepared, request, site))
            break
        unlimited = not _holds(claim)
        # A guest that is about to start has not taken its pages yet.
        site = replace(site, ledger=site.ledger.plus([claim]))
        guests += 1
    return Capacity(request.flavor, guests, unlimited, limits, code, refusal)


def _holds(claim: Claim) -> bool:
    return bool(
        claim.pcpus or claim.pages or claim.memory_kib or claim.devices
    )


def _limits(
    prepared: plan.Prepared, request: Request, site: Site
) -> Iterator[str]:
    """Yield what would let one more guest in, each by itself."""
    guest = example(request, f'{request.flavor} next')
    found = []
    for name, abundant in _abundant(site):
        try:
            plan.of(prepared, guest, abundant)
        except Refused:
            continue
        found.append(name)
    # Where an undivided cell would do, there are pCPUs enough.
    if _L3 in found:
        found.remove(_PCPUS)
    yield from found


def _abundant(site: Site) -> Iterator[tuple[str, Site]]:
    """Yield sites that have one thing in abundance."""
    claims = site.ledger.claims

    no_pcpus = [
        replace(each, pcpus=frozenset(), shared=frozenset()) for each in claims
    ]
    yield _PCPUS, replace(site, ledger=Ledger(tuple(no_pcpus)))
    no_devices = [replace(each, devices=frozenset()) for each in claims]
    yield 'VFs', replace(site, ledger=Ledger(tuple(no_devices)))
    inventory = site.inventory
    if inventory.l3:
        yield _L3, replace(site, inventory=_undivided(inventory))
    # Where a guest names its page size, small pages do not do.
    yield (
        'pages',
        replace(
            site,
            inventory=replace(
                inventory,
                cells=tuple(
                    replace(
                        cell,
                        memory_bytes=cell.memory_bytes
                        + sum(_PLENTY * p.size_kib << 10 for p in cell.pages),
                        pages=tuple(
                            replace(
                                pool,
                                total=pool.total + _PLENTY,
                                free=pool.free + _PLENTY,
                            )
                            for pool in cell.pages
                        ),
                    )
                    for cell in inventory.cells
                ),
            ),
        ),
    )
    yield (
        'memory',
        replace(
            site,
            inventory=replace(
                inventory,
                cells=tuple(
                    replace(
                        cell,
                        memory_bytes=cell.memory_bytes + (_PLENTY << 20),
                        free_memory_bytes=cell.free_memory_bytes
                        + (_PLENTY << 20),
                    )
                    for cell in inventory.cells
                ),
            ),
        ),
    )


def _undivided(inventory: Inventory) -> Inventory:
    """Return a host each of whose cells is one L3 domain."""
    return replace(
        inventory,
        cpus=tuple(
            replace(cpu, l3=inventory.cell[cpu.cell].cpus)
            if cpu.cell in inventory.cell
            else cpu
            for cpu in inventory.cpus
        ),
    )
