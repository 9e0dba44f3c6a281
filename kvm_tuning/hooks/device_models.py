"""Device models that the image requests: NIC model and disk bus."""

from collections.abc import Iterable

from kvm_tuning.core.device_models import BUS, VIF
from kvm_tuning.core.effects import Absent, Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome

# What Nova's libvirt driver takes for kvm and qemu guests.
_VIFS = (
    'virtio', 'e1000', 'e1000e', 'igb', 'lan9118', 'ne2k_pci', 'pcnet',
    'rtl8139', 'spapr-vlan', 'vmxnet3',
)  # fmt: skip
_BUSES = ('virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc')
_EMULATED = frozenset({'e1000', 'e1000e', 'ne2k_pci', 'pcnet', 'rtl8139'})


class DeviceModels(Hook):
    """Under Nova, Nova itself applies these; standalone, this hook does."""

    name = 'device_models'
    as_it_is = True
    knobs = (
        Knob(
            VIF,
            Choice(_VIFS),
            'Model of every NIC. virtio is the fastest; the others are for '
            'guests without a virtio driver.',
            nova=True,
            image=VIF,
            preferable=False,
        ),
        Knob(
            BUS,
            Choice(_BUSES),
            'Bus of every disk. scsi means a virtio-scsi controller.',
            nova=True,
            image=BUS,
            preferable=False,
        ),
    )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        model = request.value(VIF)
        if model is not None:
            yield from _vif(str(model), guest)
        bus = request.value(BUS)
        if bus is not None:
            yield from _bus(str(bus), guest)


def _vif(model: str, guest: Guest) -> Iterable[Outcome]:
    for nic in guest.interfaces:
        if nic.type != 'hostdev' and nic.model != model:
            yield Element(f'{nic.path}/model', {'type': model})
    if model in _EMULATED:
        yield Consequence(
            'emulated-nic',
            'tenant',
            f'{model} is emulated in software: it is slower than virtio and '
            'has one queue only',
        )


def _bus(bus: str, guest: Guest) -> Iterable[Outcome]:
    changed = False
    for disk in guest.data_disks:
        if disk.bus != bus:
            changed = True
            # libvirt chooses an address that suits the new bus.
            yield Absent(f'{disk.path}/address')
            yield Element(f'{disk.path}/target', {'bus': bus})
    if changed and bus == 'scsi' and not guest.scsi_controllers:
        yield Element(
            "devices/controller[@type='scsi'][@index='0']",
            {'model': 'virtio-scsi'},
        )
    if changed:
        yield Consequence(
            'disk-bus-changed',
            'tenant',
            f'the guest sees its disks on {bus}: it needs the driver, and its '
            'disks may get other device names',
        )
