"""Passthrough of PCI devices by Nova's PCI aliases."""

from collections.abc import Iterable, Mapping

from kvm_tuning.core.consequences import not_migratable
from kvm_tuning.core.demands import Affinity, Demand, DeviceDemand
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import (
    InvalidValue,
    RequestError,
    Unsupported,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Aliases, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome
from kvm_tuning.hooks.sriov import AFFINITY, address_of, affinity

ALIAS = 'pci_passthrough:alias'

#: Nova's device types as ours.
_KINDS = {
    'type-PCI': frozenset({'function'}),
    'type-PF': frozenset({'pf'}),
    'type-VF': frozenset({'vf'}),
}


class PciDevices(Hook):
    """The operator defines what an alias stands for: in Nova's ``[pci]
    alias``, or in the option of the same name here.
    """

    name = 'pci_devices'
    knobs = (
        Knob(
            ALIAS,
            Aliases(),
            'PCI devices that the guest gets, as alias:count. Under Nova, '
            "Nova's PCI tracker chooses them; standalone, the placement "
            'does.',
            nova=True,
            preferable=False,
            of_device=True,
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        asked = request.get(ALIAS)
        if asked is None:
            return
        for alias, _count in aliases(request):
            if alias not in request.pci_aliases:
                known = ', '.join(sorted(request.pci_aliases)) or 'none'
                yield InvalidValue(
                    f'{asked}: alias {alias!r} is not configured; aliases '
                    f'here: {known} ([pci] alias)'
                )
        yield not_migratable(
            'a guest that drives a device of the host cannot be live-migrated'
        )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        for alias, count in aliases(request):
            spec = request.pci_aliases[alias]
            policy = affinity(request)
            if request.get(AFFINITY) is None and 'numa_policy' in spec:
                policy = Affinity(spec['numa_policy'])
            yield DeviceDemand(f'{ALIAS}={alias}', count, policy, _match(spec))

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        for alias, _count in aliases(request):
            addresses = placement.devices.get(f'{ALIAS}={alias}', ())
            for number, address in enumerate(addresses):
                if site.inventory.device[address].iommu_group is None:
                    raise Unsupported(
                        f'{request.get(ALIAS)}: {address} is not in an IOMMU '
                        'group; enable the IOMMU of this host'
                    )
                # User aliases begin with ua- (libvirt's formatdomain).
                path = f"devices/hostdev[alias/@name='ua-{alias}-{number}']"
                yield Element(
                    path,
                    {'mode': 'subsystem', 'type': 'pci', 'managed': 'yes'},
                    make=True,
                )
                source = address_of(address)
                del source['type']
                yield Element(f'{path}/source/address', source, make=True)


def aliases(request: Request) -> Iterable[tuple[str, int]]:
    """Return each alias and its count; repeated aliases add up."""
    counts: dict[str, int] = {}
    for part in str(request.value(ALIAS, '')).split(','):
        alias, _, count = part.strip().rpartition(':')
        if alias:
            counts[alias] = counts.get(alias, 0) + int(count)
    return counts.items()


def _match(spec: Mapping[str, str]) -> dict[str, frozenset[str]]:
    match: dict[str, frozenset[str]] = {}
    for key, name in (('vendor_id', 'vendor'), ('product_id', 'product')):
        if key in spec:
            match[name] = frozenset({spec[key].lower()})
    if 'device_type' in spec:
        match['kind'] = _KINDS[spec['device_type']]
    return match
