"""Device models that the image requests: NIC model and disk bus."""

from collections.abc import Iterable

from kvm_tuning.core import device_models
from kvm_tuning.core.device_models import BUS, VIF
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook, Outcome, unkept

# What Nova's libvirt driver takes for kvm and qemu guests.
_VIFS = (
    'virtio', 'e1000', 'e1000e', 'igb', 'lan9118', 'ne2k_pci', 'pcnet',
    'rtl8139', 'spapr-vlan', 'vmxnet3',
)  # fmt: skip
_BUSES = ('virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc')
_EMULATED = frozenset({'e1000', 'e1000e', 'ne2k_pci', 'pcnet', 'rtl8139'})
# NIC types whose backend talks virtio alone.
_VIRTIO_ONLY = frozenset({'vhostuser', 'vdpa'})
# libvirt's virDomainDiskDefValidate: device='lun' is for these.
_LUN = ('virtio', 'scsi')


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
        model, bus = request.get(VIF), request.get(BUS)
        if model is not None:
            yield from _vif(model, guest)
        if bus is not None:
            yield from _bus(bus, guest)


def _vif(asked: Asked, guest: Guest) -> Iterable[Outcome]:
    model = str(asked.value)
    for nic in guest.interfaces:
        if nic.type == 'hostdev' or device_models.has_model(nic, model):
            continue
        found = nic.model or 'no model'
        if nic.type in _VIRTIO_ONLY:
            yield unkept(
                asked, found, f'NIC {nic.mac} is of type {nic.type}: virtio'
            )
        elif nic.teaming is not None:
            yield unkept(
                asked, found, f'NIC {nic.mac} is one of a pair: virtio'
            )
        else:
            yield Element(f'{nic.path}/model', {'type': model})
    if model in _EMULATED:
        yield Consequence(
            'emulated-nic',
            'tenant',
            f'{model} is emulated in software: it is slower than virtio and '
            'has one queue only',
        )


def _bus(asked: Asked, guest: Guest) -> Iterable[Outcome]:
    bus = str(asked.value)
    changed = False
    for disk in guest.data_disks:
        if disk.bus == bus:
            continue
        if disk.type == 'vhostuser':
            yield unkept(
                asked, disk.bus, f'disk {disk.target} is vhost-user: virtio'
            )
        elif disk.device == 'lun' and bus not in _LUN:
            yield unkept(
                asked,
                disk.bus,
                f'disk {disk.target} is a LUN that is passed through: '
                f'{" or ".join(_LUN)}',
            )
        else:
            changed = True
            yield Element(f'{disk.path}/target', {'bus': bus})
    if changed:
        yield Consequence(
            'disk-bus-changed',
            'tenant',
            f'the guest sees its disks on {bus}: it needs the driver, and its '
            'disks may get other device names',
        )
