"""``[placement]``: which pCPUs, pages and memory guests may have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from oslo_config import cfg, types

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import ConfigInvalid

if TYPE_CHECKING:
    from kvm_tuning.core.inventory import Inventory
    from kvm_tuning.core.site import Policy

GROUP = 'placement'

#: The options of a command line that go before the configuration.
DEDICATED = '--dedicated-cpus'
SHARED = '--shared-cpus'

OPTIONS = (
    cfg.StrOpt(
        'dedicated_cpus',
        help="""
The pCPUs that may be given to one vCPU each, as a list such as
``4-31,36-63``. They should be kept free of the host's own work (see the
administrator's guide on CPU isolation). While it is unset, no pCPU is
dedicated on this host and a guest that asks for dedicated vCPUs is refused.
Beside Nova, keep it apart from ``[compute] cpu_dedicated_set``.
""",
    ),
    cfg.StrOpt(
        'shared_cpus',
        help="""
The pCPUs over which shared vCPUs float, and on which emulator and I/O
threads may run (housekeeping), as a list such as ``0-3,32-35``. It must not
share a pCPU with ``dedicated_cpus``. Unset: every online pCPU that is not
dedicated.
""",
    ),
    cfg.MultiOpt(
        'reserved_huge_pages',
        item_type=types.Dict(),
        help="""
Huge pages that guests may not have, for a cell and a page size, such as
``node:0,size:2048,count:64`` (sizes in KiB, or with a unit: ``1GB``). Give
it several times for several cells or sizes. As Nova's option of this name:
for software beside the guests that uses huge pages, such as Open vSwitch
with DPDK.
""",
    ),
    cfg.IntOpt(
        'reserved_memory_mb',
        default=0,
        min=0,
        help="""
Memory in MiB that is kept from guests in each NUMA cell, for the host itself
and for what QEMU needs beside a guest's memory. Huge pages are not counted.
""",
    ),
    cfg.BoolOpt(
        'pack_cells',
        default=True,
        help="""
Whether a guest goes to a NUMA cell that is already in use before an empty
one. Packing keeps whole cells free for large guests; spreading gives each
guest more memory bandwidth. As Nova's ``[compute]
packing_host_numa_cells_allocation_strategy``.
""",
    ),
)


def policy(
    conf: cfg.ConfigOpts,
    inventory: 'Inventory',
    cpusets: Mapping[str, str] | None = None,
) -> 'Policy':
    """Return what the operator allows on the host of ``inventory``.

    :param cpusets: CPU lists by ``--dedicated-cpus`` and ``--shared-cpus``;
        they go before the configuration's. One alone takes its pCPUs out of
        the configuration's other list.
    :raises ConfigInvalid: a list cannot be read, names a CPU that is not
        online, or the lists overlap.
    """
    configured = _configured(conf, inventory)
    if not cpusets:
        return configured
    dedicated = cpus(DEDICATED, cpusets.get(DEDICATED), inventory)
    shared = cpus(SHARED, cpusets.get(SHARED), inventory)
    apart(dedicated, shared, f'{DEDICATED} and {SHARED}')
    if dedicated is None and configured.dedicated_cpus is not None:
        dedicated = configured.dedicated_cpus - (shared or frozenset())
    if shared is None and configured.shared_cpus is not None:
        shared = configured.shared_cpus - (dedicated or frozenset())
    return replace(configured, dedicated_cpus=dedicated, shared_cpus=shared)


def _configured(conf: cfg.ConfigOpts, inventory: 'Inventory') -> 'Policy':
    # Not at the top: commands that place nothing start faster.
    from kvm_tuning.core.site import Policy

    group = conf[GROUP]
    dedicated = cpus(
        f'[{GROUP}] dedicated_cpus', group.dedicated_cpus, inventory
    )
    shared = cpus(f'[{GROUP}] shared_cpus', group.shared_cpus, inventory)
    apart(dedicated, shared, f'[{GROUP}] dedicated_cpus and shared_cpus')
    return Policy(
        dedicated_cpus=dedicated,
        shared_cpus=shared,
        reserved_pages=_pages(group.reserved_huge_pages or [], inventory),
        reserved_memory_kib=group.reserved_memory_mb * 1024,
        pack_cells=group.pack_cells,
    )


def cpus(
    what: str, text: str | None, inventory: 'Inventory'
) -> frozenset[int] | None:
    """Return the CPUs of a list that ``what`` names; None for none.

    :raises ConfigInvalid: it is not a list, is empty, or names a CPU that is
        not online.
    """
    if text is None:
        return None
    try:
        found = cpuset.parse(text)
    except ValueError as exc:
        raise ConfigInvalid(
            f'{what} = {text[:64]}: {exc}; want a CPU list such as 4-31,36'
        ) from exc
    if not found:
        raise ConfigInvalid(f'{what} is empty: leave it out instead')
    absent = found - inventory.online
    if absent:
        raise ConfigInvalid(
            f'{what} = {text[:64]} names CPU {cpuset.format(absent)}, which '
            f'is not online; online are {cpuset.format(inventory.online)}'
        )
    return found


def apart(
    dedicated: frozenset[int] | None,
    shared: frozenset[int] | None,
    what: str,
) -> None:
    """Refuse sets that overlap.

    :raises ConfigInvalid: they share a CPU.
    """
    both = (dedicated or frozenset()) & (shared or frozenset())
    if both:
        raise ConfigInvalid(
            f'{what} share CPU {cpuset.format(both)}: a pCPU is one or the '
            f'other'
        )


def _pages(
    entries: list[dict[str, str]], inventory: 'Inventory'
) -> Mapping[tuple[int, int], int]:
    from kvm_tuning.core.knobs import Size

    found: dict[tuple[int, int], int] = {}
    for entry in entries:
        text = ','.join(f'{key}:{value}' for key, value in entry.items())
        what = f'[{GROUP}] reserved_huge_pages = {text[:64]}'
        if entry.keys() != {'node', 'size', 'count'}:
            raise ConfigInvalid(
                f'{what}: want node, size and count, such as '
                f'node:0,size:2048,count:64'
            )
        try:
            cell, count = int(entry['node']), int(entry['count'])
            size = Size().parse(entry['size'])
        except ValueError as exc:
            raise ConfigInvalid(f'{what}: {exc}') from exc
        if count < 0 or not isinstance(size, int):
            raise ConfigInvalid(f'{what}: want a count of 0 or more')
        if cell not in inventory.cell:
            cells = ', '.join(str(number) for number in inventory.cell)
            raise ConfigInvalid(
                f'{what}: this host has no NUMA cell {cell}, but {cells}'
            )
        if (cell, size) in found:
            raise ConfigInvalid(
                f'{what}: there is another one for this cell and size'
            )
        found[cell, size] = count
    return found
