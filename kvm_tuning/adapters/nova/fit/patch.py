"""Replace Nova's NUMA fit with ours, and restore it.

To replay placements through Nova's own functions, without a driver or a
host::

    from kvm_tuning.adapters.nova import packing
    packing.install(inventory)   # or packing.install(domains=...)
    ...                            # nova.virt.hardware now uses the solver
    packing.uninstall()
"""

import functools
from typing import Any

from nova.virt import hardware

from kvm_tuning.adapters.nova.fit import context, fit, guest_cell
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core.demands import LocalityDemand
from kvm_tuning.core.inventory import Inventory

#: How often each wrapper was called.
calls = {'numa_fit_instance_to_host': 0, '_pack_instance_onto_cores': 0}

_stock: dict[str, Any] = {}


def install(
    inventory: Inventory | None = None,
    domains: Domains | None = None,
    locality: LocalityDemand | None = None,
) -> None:
    """Let the solver answer Nova's calls in this process.

    :param inventory: the host; or
    :param domains: its L3 domains. Neither: each call sets them
        (:func:`kvm_tuning.adapters.nova.fit.context.applied`), and Nova
        answers the calls that do not.
    """
    if inventory is not None:
        domains = inventory.l3
    if domains is not None:
        context.for_process(FitContext(domains, locality))
    if _stock:
        return
    for name, wrapper in (
        ('numa_fit_instance_to_host', _fit),
        ('_pack_instance_onto_cores', _pack),
    ):
        _stock[name] = original = getattr(hardware, name)
        setattr(hardware, name, functools.wraps(original)(wrapper))


def uninstall() -> None:
    """Restore Nova's own answers."""
    context.for_process(None)
    for name, original in _stock.items():
        setattr(hardware, name, original)
    _stock.clear()


def stock(name: str) -> Any:
    """Return Nova's own function, wrapped or not."""
    return _stock.get(name) or getattr(hardware, name)


def _fit(*args: Any, **kwargs: Any) -> Any:
    calls['numa_fit_instance_to_host'] += 1
    if not context.known():
        return _stock['numa_fit_instance_to_host'](*args, **kwargs)
    return fit.fit(*args, **kwargs)


def _pack(
    host_cell: Any, instance_cell: Any, num_cpu_reserved: int = 0
) -> Any:
    calls['_pack_instance_onto_cores'] += 1
    checking = guest_cell.checking()
    if checking == 'count':
        return instance_cell
    if (
        checking == 'pack'
        or not context.known()
        or num_cpu_reserved > 1
        or guest_cell.left_to_nova([host_cell], instance_cell)
    ):
        return _stock['_pack_instance_onto_cores'](
            host_cell, instance_cell, num_cpu_reserved
        )
    return fit.pack(host_cell, instance_cell, num_cpu_reserved)
