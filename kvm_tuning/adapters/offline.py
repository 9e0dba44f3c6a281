"""The site of a host that is only looked at: its files, and no libvirt."""

from collections.abc import Mapping
import os
from typing import TYPE_CHECKING

from kvm_tuning.conf import placement, written
from kvm_tuning.core import cpuset
from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.host import inventory as inventory_

if TYPE_CHECKING:
    from oslo_config import cfg

#: The owner of what ``--taken`` names.
TAKEN = '--taken'


def site(
    root: str,
    conf: 'cfg.ConfigOpts',
    cpusets: Mapping[str, str],
    taken: str | None = None,
) -> tuple[Site, tuple[Consequence, ...]]:
    """Return the site of the host below ``root``, and what was assumed.

    :param cpusets: ``dedicated`` and ``shared`` CPU lists that go before the
        configuration's.
    :param taken: CPU list of what others hold.
    :raises InventoryUnreadable: the host's files are not as documented.
    :raises ConfigInvalid: the configuration or a CPU list makes no sense.
    """
    inventory = inventory_.read(root)
    chosen = policy(conf, inventory, cpusets)
    notes: list[Consequence] = []
    if (
        chosen.dedicated_cpus is None
        and os.path.realpath(root) != '/'
        and not written(conf)
    ):
        chosen = _whole(chosen, inventory)
        notes.append(_assumed(chosen))
    notes.append(_not_probed())
    ledger = Ledger()
    if taken is not None:
        held = placement.cpus('--taken', taken, inventory) or frozenset()
        ledger = Ledger((Claim(TAKEN, TAKEN, pcpus=held),))
    return Site(inventory, ledger, policy=chosen), tuple(notes)


def policy(
    conf: 'cfg.ConfigOpts', inventory: Inventory, cpusets: Mapping[str, str]
) -> Policy:
    """Return the configuration's policy with the sets of ``cpusets``.

    :raises ConfigInvalid: a list cannot be read, names a CPU that is not
        online, or the lists overlap.
    """
    configured = placement.policy(conf, inventory)
    if not cpusets:
        return configured
    dedicated = placement.cpus(
        '--dedicated-cpus', cpusets.get('dedicated'), inventory
    )
    shared = placement.cpus('--shared-cpus', cpusets.get('shared'), inventory)
    # One set alone takes its pCPUs out of the configuration's other one.
    if dedicated is None and configured.dedicated_cpus is not None:
        dedicated = configured.dedicated_cpus - (shared or frozenset())
    if shared is None and configured.shared_cpus is not None:
        shared = configured.shared_cpus - (dedicated or frozenset())
    placement.apart(dedicated, shared, '--dedicated-cpus and --shared-cpus')
    return Policy(
        dedicated_cpus=dedicated,
        shared_cpus=shared,
        reserved_pages=configured.reserved_pages,
        reserved_memory_kib=configured.reserved_memory_kib,
        pack_cells=configured.pack_cells,
    )


def _whole(chosen: Policy, inventory: Inventory) -> Policy:
    """Return the policy of a host that nobody has configured: every pCPU may
    be dedicated, and shared, as nothing is given out for real.
    """
    shared = chosen.shared_cpus
    return Policy(
        dedicated_cpus=inventory.online - (shared or frozenset()),
        shared_cpus=inventory.online if shared is None else shared,
        reserved_pages=chosen.reserved_pages,
        reserved_memory_kib=chosen.reserved_memory_kib,
        pack_cells=chosen.pack_cells,
    )


def _assumed(chosen: Policy) -> Consequence:
    cpus = cpuset.format(chosen.dedicated_cpus or ())
    return Consequence(
        'every-pcpu-assumed',
        'operator',
        f'there is no configuration below --root, so pCPUs {cpus} were all '
        f'taken as dedicable; nothing is given out. On a live host '
        f'[placement] dedicated_cpus has to say it',
    )


def _not_probed() -> Consequence:
    return Consequence(
        'not-probed',
        'operator',
        'with --root nothing was probed: whether the host has KVM, vhost, '
        'io_uring or O_DIRECT where the disks are is not known, nor which '
        'guests run there',
    )
