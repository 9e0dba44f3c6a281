"""The site of a host that is read only from its files, without libvirt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
import os
from typing import TYPE_CHECKING

from kvm_tuning.conf import placement, written
from kvm_tuning.core import claims, cpuset
from kvm_tuning.core.claims import Record
from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.site import Policy, Site
from kvm_tuning.host.guests import pinned
from kvm_tuning.host.inventory import reader
from kvm_tuning.host.probes import prober

if TYPE_CHECKING:
    from oslo_config import cfg

#: The owner of the pCPUs that ``--taken`` names.
TAKEN = '--taken'


def site(
    root: str,
    conf: 'cfg.ConfigOpts',
    cpusets: Mapping[str, str],
    taken: str | None = None,
    disks: Iterable[str] = (),
    records: Sequence[Record] = (),
) -> tuple[Site, tuple[Consequence, ...]]:
    """Return the site of the host below ``root``, and what was assumed.

    :param cpusets: CPU lists that override the configuration's, by option.
    :param taken: CPU list of what others hold.
    :param disks: paths of the guest's disks.
    :param records: the guests of the host, as far as they are known.
    :raises InventoryUnreadable: the host's files are not as documented.
    :raises ConfigInvalid: the configuration or a CPU list is wrong.
    """
    inventory = reader.read(root)
    chosen = placement.policy(conf, inventory, cpusets)
    notes: list[Consequence] = []
    live = os.path.realpath(root) == '/'
    if chosen.dedicated_cpus is None and not live and not written(conf):
        chosen = _whole(chosen, inventory)
        notes.append(_assumed(chosen))
    if not live:
        notes.append(_not_probed(bool(records)))
    dedicated = chosen.dedicated_cpus
    guests = frozenset(record.uuid.lower() for record in records)
    ledger = claims.read(records, inventory.online, dedicated).plus(
        pinned.claims(root, inventory.online, dedicated, guests)
    )
    if taken is not None:
        held = placement.cpus('--taken', taken, inventory) or frozenset()
        ledger = ledger.plus([Claim(TAKEN, TAKEN, pcpus=held)])
    capabilities = prober.probe(disks, root)
    return Site(inventory, ledger, capabilities, chosen), tuple(notes)


def _whole(chosen: Policy, inventory: Inventory) -> Policy:
    """Return the policy of a host that nobody has configured: every pCPU may
    be dedicated or shared, as nothing is given out for real.
    """
    shared = chosen.shared_cpus
    if shared is not None:
        return replace(chosen, dedicated_cpus=inventory.online - shared)
    return replace(chosen, dedicated_cpus=inventory.online, overlap=True)


def _assumed(chosen: Policy) -> Consequence:
    cpus = cpuset.format(chosen.dedicated_cpus or ())
    how = 'dedicated or shared' if chosen.overlap else 'dedicated'
    return Consequence(
        'every-pcpu-assumed',
        'operator',
        f'there is no configuration below --root, so each of pCPUs {cpus} '
        f'was assumed to be free to be {how}; nothing is given out. A live '
        'host needs [placement] dedicated_cpus for that',
    )


def _not_probed(guests: bool) -> Consequence:
    """Return what is not known of another host.

    :param guests: whether its guests are.
    """
    which = '' if guests else ', and which guests it has'
    return Consequence(
        'not-probed',
        'operator',
        'nothing was probed below --root: it is unknown whether that host '
        f'has KVM, vhost, io_uring, or O_DIRECT where the disks are{which}',
    )
