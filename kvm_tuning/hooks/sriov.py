"""SR-IOV VFs: how many, how attached, and their attributes on the PF."""

from collections.abc import Iterable, Sequence
import hashlib

from kvm_tuning.core.compiled import VFS
from kvm_tuning.core.consequences import host_unreachable, not_migratable
from kvm_tuning.core.demands import Affinity, Demand, DeviceDemand
from kvm_tuning.core.effects import (
    Consequence,
    Element,
    Phase,
    Scope,
    Setting,
    SettingKind,
)
from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    RequestError,
    Unsupported,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import PciDevice
from kvm_tuning.core.knobs import Choice, Count, Flag, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

ATTACHMENT = 'kvm:vf_attachment'
VLAN = 'kvm:vf_vlan'
TRUST = 'kvm:vf_trust'
SPOOF_CHECK = 'kvm:vf_spoof_check'
MAX_RATE = 'kvm:vf_max_rate'
AFFINITY = 'hw:pci_numa_affinity_policy'

# Intel 82576: its Windows VF driver was never released for current versions.
_82576_VF = '10ca'
# Intel I350: igb's ndo_set_vf_rate supports only the 82576.
_I350_VF = '1520'


class Sriov(Hook):
    """VFs are chosen with the CPUs and pages, in one decision. Each gets a MAC
    derived from the guest's UUID, so that it stays the same.
    """

    name = 'sriov'
    knobs = (
        Knob(
            VFS,
            Count(0, 64),
            'Number of SR-IOV VFs that the guest gets, near its vCPUs.',
            preferable=False,
            of_device=True,
            needs_functions=True,
        ),
        Knob(
            ATTACHMENT,
            Choice(('hostdev', 'macvtap')),
            'The guest drives the VF itself (hostdev, by VFIO), or has a '
            'virtio NIC on it (macvtap passthrough).',
            default='hostdev',
            preferable=False,
            of_device=True,
        ),
        Knob(
            VLAN,
            Count(0, 4094),
            "VLAN that the PF tags the VFs' traffic with; 0: none.",
            preferable=False,
            of_device=True,
            needs_functions=True,
            pf_attribute='vlan',
        ),
        Knob(
            TRUST,
            Flag(),
            'The guest may change its MAC and receive traffic that is not '
            'addressed to it.',
            preferable=False,
            of_device=True,
            needs_functions=True,
            pf_attribute='trust',
        ),
        Knob(
            SPOOF_CHECK,
            Flag(),
            'The PF drops what the guest sends from a foreign MAC.',
            preferable=False,
            of_device=True,
            needs_functions=True,
            pf_attribute='spoof_check',
        ),
        Knob(
            MAX_RATE,
            Count(1, 1_000_000),
            'Highest rate at which each VF may send, in Mbit/s.',
            preferable=False,
            of_device=True,
            needs_functions=True,
            pf_attribute='max_rate',
        ),
        Knob(
            AFFINITY,
            Choice(tuple(each.value for each in Affinity)),
            'How near its vCPUs a VF or another PCI device must be.',
            nova=True,
            image='hw_pci_numa_affinity_policy',
            preferable=False,
            of_device=True,
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        count = request.value(VFS)
        for knob in self.knobs:
            if knob.name != ATTACHMENT and knob.pf_attribute is None:
                continue
            asked = request.get(knob.name)
            if asked is not None and not count:
                yield ConflictingKnobs(f'{asked} also needs {VFS}')
        if count and request.value(ATTACHMENT) != 'macvtap':
            yield not_migratable(
                'a guest that drives a VF cannot be live-migrated'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        count = request.value(VFS)
        if not isinstance(count, int) or not count:
            return
        unlike = {}
        if request.value('os_type') == 'windows':
            unlike['product'] = frozenset({_82576_VF})
        yield DeviceDemand(
            VFS,
            count,
            affinity(request),
            {'kind': frozenset({'vf'})},
            unlike,
        )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        addresses = placement.devices.get(VFS, ())
        if placement.given:
            yield from _given(request, addresses, site)
            return
        for number, address in enumerate(addresses):
            device = site.inventory.device[address]
            mac = mac_of(guest, number)
            if request.value(ATTACHMENT) == 'macvtap':
                yield from _macvtap(request, device, mac)
            else:
                yield from _hostdev(request, device, mac)
            yield from _settings(request, device)


def _given(
    request: Request, addresses: Sequence[str], site: Site
) -> Iterable[Outcome]:
    """Yield attributes for VFs that somebody else chose and attached as a
    plain ``<hostdev>``: libvirt sets none of them.
    """
    devices = [site.inventory.device[address] for address in addresses]
    # PCI class 02 is a network controller; accelerators have VFs, too.
    devices = [d for d in devices if d.pci_class.startswith('02')]
    asked = request.get(VFS)
    if asked is not None and len(devices) != asked.value:
        raise Unsupported(
            f'{asked}: the guest has {len(devices)} VFs of NICs; `kvm-tuning '
            'flavor compile` writes an alias that matches, and the VFs of '
            'network ports do not count'
        )
    for device in devices:
        vlan = request.value(VLAN)
        if vlan is not None:
            yield _attribute(device, 'vlan', str(vlan))
        yield from _settings(request, device)


def affinity(request: Request) -> Affinity:
    """Return the affinity of a device; legacy is Nova's default."""
    return Affinity(request.value(AFFINITY, 'legacy'))


def mac_of(guest: Guest, number: int) -> str:
    """Return the MAC of the guest's VF ``number``: always the same one, in
    QEMU's range.
    """
    digest = hashlib.sha256(f'{guest.owner}/vf/{number}'.encode()).hexdigest()
    return f'52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}'


def _hostdev(
    request: Request, device: PciDevice, mac: str
) -> Iterable[Outcome]:
    if device.iommu_group is None:
        raise Unsupported(
            f'{request.get(VFS)}: VF {device.address} is not in an IOMMU '
            'group; enable the IOMMU of this host (intel_iommu=on, or AMD-Vi '
            'in the firmware)'
        )
    path = f"devices/interface[mac/@address='{mac}']"
    yield Element(path, {'type': 'hostdev', 'managed': 'yes'}, make=True)
    yield Element(
        f'{path}/source/address', address_of(device.address), make=True
    )
    yield from _vlan(request, path)


def _macvtap(
    request: Request, device: PciDevice, mac: str
) -> Iterable[Outcome]:
    if not device.interfaces:
        raise Unsupported(
            f'{request.get(ATTACHMENT)}: VF {device.address} has no network '
            f'interface (driver {device.driver or "none"}); bind it to its '
            f'network driver'
        )
    path = f"devices/interface[mac/@address='{mac}']"
    yield Element(path, {'type': 'direct'}, make=True)
    yield Element(
        f'{path}/source',
        {'dev': device.interfaces[0], 'mode': 'passthrough'},
        make=True,
    )
    yield Element(f'{path}/model', {'type': 'virtio'}, make=True)
    yield from _vlan(request, path)
    yield host_unreachable([device.interfaces[0]])
    yield not_migratable(
        f'migration needs a VF named {device.interfaces[0]} on the '
        'destination host, and connections break'
    )


def _vlan(request: Request, path: str) -> Iterable[Outcome]:
    """Yield the VLAN for libvirt to set.

    However the VF is attached, libvirt gives it the VLAN of ``<vlan>`` when
    the guest starts, or none without one (virNetDevSetNetConfig), and restores
    the previous one when it ends.
    """
    vlan = request.value(VLAN)
    if vlan:
        yield Element(f"{path}/vlan/tag[@id='{vlan}']", make=True)


def _settings(request: Request, device: PciDevice) -> Iterable[Outcome]:
    """Yield the attributes that the PF keeps for the VF and that libvirt does
    not know.
    """
    for knob in Sriov.knobs:
        asked = request.get(knob.name)
        if asked is None or knob.pf_attribute is None or knob.name == VLAN:
            continue
        if knob.name == MAX_RATE and device.product == _I350_VF:
            yield unkept(
                asked,
                'no limit',
                'an Intel I350 cannot limit the rate of a VF',
            )
            continue
        value = asked.value
        text = str(int(value)) if isinstance(value, bool) else str(value)
        yield _attribute(device, knob.pf_attribute, text)


def _attribute(device: PciDevice, name: str, value: str) -> Setting:
    return Setting(
        SettingKind.VF_ATTRIBUTE,
        f'{device.pf}/{device.vf_index}/{name}',
        value,
        Scope.INSTANCE,
        Phase.BEFORE_START,
    )


def address_of(address: str) -> dict[str, str | None]:
    """Return the attributes of libvirt's ``<address>`` of a PCI function."""
    domain, bus, rest = address.split(':')
    slot, function = rest.split('.')
    return {
        'type': 'pci',
        'domain': f'0x{domain}',
        'bus': f'0x{bus}',
        'slot': f'0x{slot}',
        'function': f'0x{function}',
    }
