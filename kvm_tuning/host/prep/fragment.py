"""Draw up Nova's configuration for this host from what the host has.

Nova's configuration reference: ``[compute] cpu_dedicated_set`` and
``cpu_shared_set``, ``reserved_huge_pages``, ``[pci] device_spec`` and
``alias``. A device_spec with a PF's address and its VFs' product takes all
VFs of the PF, whatever addresses they get. Each kind of VF has an alias of
its own, and all belong to :data:`~kvm_tuning.core.compiled.VF_ALIAS`, which
``kvm-tuning flavor compile`` requests: of an alias that is given several
times Nova takes any, as long as their types are the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
import json
from typing import TYPE_CHECKING, Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.compiled import VF_ALIAS
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.core.inventory import Inventory, PciDevice
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import effect
from kvm_tuning.host.prep.goals import Argument
from kvm_tuning.host.prep.groups import cpu_isolation
from kvm_tuning.host.prep.groups.sriov import group as sriov

if TYPE_CHECKING:
    from kvm_tuning.core.site import Policy

NOTHING = 'the configuration asks for nothing that nova.conf should say'


@dataclass(frozen=True, slots=True)
class Fragment:
    """Options by group, in order; an option may come several times."""

    options: tuple[tuple[str, str, str], ...] = ()
    #: Notes for the operator.
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as a configuration file."""
        lines = ['# Made by kvm-tuning host fragment.']
        lines += [f'# {note}' for note in self.notes]
        group = ''
        for name, option, value in sorted(
            self.options, key=lambda each: each[0] != 'DEFAULT'
        ):
            if name != group:
                lines += ['', f'[{name}]']
                group = name
            lines.append(f'{option} = {value}')
        return '\n'.join(lines) + '\n'


@dataclass(frozen=True, slots=True)
class Site:
    """The facts from which a fragment is made."""

    inventory: Inventory
    housekeeping: frozenset[int] | None = None
    #: ``[placement] dedicated_cpus``: the standalone adapter's own.
    standalone: frozenset[int] = frozenset()
    reserved_pages: Mapping[tuple[int, int], int] = field(default_factory=dict)
    #: PFs whose VFs are for guests, by address.
    pfs: tuple[str, ...] = ()
    #: Whether the isolation is in force.
    isolated: bool = True


def site(conf: Any, host: Host, policy: 'Policy') -> Site:
    """Return what the fragment of a host is made of."""
    cpus = cpu_isolation.wanted(conf)
    arguments: list[Argument] = []
    if cpus is not None:
        planned = cpu_isolation.plan(cpus, cpu_isolation.read(host))
        arguments += [i for i in planned if isinstance(i, Argument)]
    counts = sriov.chosen(conf, host)
    return Site(
        host.inventory,
        None if cpus is None else cpus.housekeeping,
        policy.dedicated_cpus or frozenset(),
        policy.reserved_pages,
        wanted_pfs(host.inventory, (a for a, n in counts.items() if n)),
        not any(effect.shortfalls(host, arguments)),
    )


def make(site: Site) -> Fragment:
    """Return the fragment of a host.

    :raises ConfigInvalid: a CPU set would be empty.
    """
    options: list[tuple[str, str, str]] = []
    notes: list[str] = []
    for (cell, size), count in sorted(site.reserved_pages.items()):
        value = f'node:{cell},size:{size},count:{count}'
        options.append(('DEFAULT', 'reserved_huge_pages', value))
    if site.housekeeping is None:
        notes.append(
            'no CPU sets: [cpu_isolation] housekeeping_cpus is not set'
        )
    else:
        options += [
            ('compute', option, cpuset.format(cpus))
            for option, cpus in _cpu_sets(site, site.housekeeping).items()
        ]
        if not site.isolated:
            notes.append('the isolation of the CPUs is not in effect yet')
    specs, aliases = _pci(site, notes)
    options += [('pci', 'device_spec', spec) for spec in specs]
    options += [('pci', 'alias', alias) for alias in aliases]
    if not options:
        notes.append(NOTHING)
    return Fragment(tuple(options), tuple(notes))


def _cpu_sets(
    site: Site, housekeeping: frozenset[int]
) -> dict[str, frozenset[int]]:
    """Return the pCPUs by Nova's option.

    :raises ConfigInvalid: there are none for one of them: Nova takes an
        empty set for an error, or for no set at all.
    """
    online = site.inventory.online
    shared = housekeeping & online
    dedicated = online - shared - site.standalone
    said = f'[cpu_isolation] housekeeping_cpus = {cpuset.format(housekeeping)}'
    if not shared:
        raise ConfigInvalid(
            f'{said}: none of them is online, which leaves cpu_shared_set '
            f'empty; online are {cpuset.format(online)}'
        )
    if not online - shared:
        raise ConfigInvalid(
            f'{said}: they are all CPUs of the host, which leaves '
            f'cpu_dedicated_set empty; want fewer than '
            f'{cpuset.format(online)}, or leave it out for a host without '
            f'dedicated pCPUs'
        )
    if not dedicated:
        raise ConfigInvalid(
            f'{said} and [placement] dedicated_cpus = '
            f'{cpuset.format(site.standalone)}: together they are all CPUs of '
            f'the host, which leaves cpu_dedicated_set empty; beside Nova, '
            f'[placement] dedicated_cpus has only what Nova does not get'
        )
    return {'cpu_dedicated_set': dedicated, 'cpu_shared_set': shared}


def _pci(site: Site, notes: list[str]) -> tuple[list[str], list[str]]:
    specs: list[str] = []
    aliases: list[str] = []
    known = site.inventory.device
    for address in site.pfs:
        pf = known[address]
        vf = known.get(pf.vfs[0]) if pf.vfs else None
        if vf is None:
            notes.append(
                f'no device_spec for {address}: it has no VFs at present'
            )
            continue
        product = {'vendor_id': vf.vendor, 'product_id': vf.product}
        specs.append(json.dumps({**product, 'address': address}))
        name = alias_name(pf, vf)
        for alias in (name, VF_ALIAS):
            text = json.dumps(
                {**product, 'device_type': 'type-VF', 'name': alias}
            )
            if text not in aliases:
                aliases.append(text)
    return specs, aliases


def alias_name(pf: PciDevice, vf: PciDevice) -> str:
    """Return the name of VFs of one kind: ``vf-igb-1520``."""
    return f'vf-{pf.driver or vf.vendor}-{vf.product}'


def wanted_pfs(
    inventory: Inventory, selected: Iterable[str]
) -> tuple[str, ...]:
    """Return the PFs among ``selected`` addresses, in order."""
    return tuple(a for a in sorted(set(selected)) if a in inventory.device)
