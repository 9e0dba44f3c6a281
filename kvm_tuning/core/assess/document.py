"""Read how a guest is set up from its live document."""

from collections.abc import Iterator

from lxml import etree

from kvm_tuning.core.assess.guest import Disk, Nic, Setup
from kvm_tuning.core.definition import devices
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.whole import number

#: Types of a disk that is a file or device of the host.
_LOCAL = frozenset({'file', 'block'})


def read(domain: Domain) -> Setup:
    """Return how the guest of a live document is set up.

    :raises InvalidDocument: it has a value that libvirt would not write.
    """
    guest, root = domain.current, domain.root
    controllers = _controllers(root)
    used = frozenset(_used(root))
    return Setup(
        name=guest.name,
        uuid=(guest.uuid or '').lower(),
        vcpus=guest.vcpus,
        memory_kib=guest.memory_kib,
        kvm=guest.type == 'kvm',
        threads=_number(root.find('cpu/topology'), 'threads'),
        cells=len(guest.cells),
        hint_dedicated=_is_on(root.find('features/kvm/hint-dedicated')),
        iothreads=_iothreads(root, guest.iothreads) | used,
        used_iothreads=used,
        disks=tuple(
            _disk(element, controllers)
            for element in root.iterfind('devices/disk')
            if element.get('device', 'disk') in ('disk', 'lun')
        ),
        nics=tuple(
            _nic(element)
            for element in root.iterfind('devices/interface')
            if element.get('type') != 'hostdev'
        ),
        functions=guest.host_devices,
        lower_nics=guest.direct_nics,
        vcpu_pins=_pins(guest),
        emulator_pin=guest.emulator_pin,
        iothread_pins=guest.iothread_pins,
    )


def _pins(guest: Guest) -> dict[int, frozenset[int]]:
    """Return the pins by vCPU, also those of all that have none of their
    own.
    """
    found = dict(guest.pins)
    if guest.cpuset is not None:
        for vcpu in range(guest.vcpus):
            found.setdefault(vcpu, guest.cpuset)
    return found


def _iothreads(root: etree._Element, count: int) -> frozenset[str]:
    listed = {
        each.get('id', '') for each in root.iterfind('iothreadids/iothread')
    }
    free = (str(n) for n in range(1, 2 * count + 1) if str(n) not in listed)
    # libvirt numbers those that are not listed from 1 on.
    while len(listed) < count:
        listed.add(next(free))
    return frozenset(listed)


def _used(root: etree._Element) -> Iterator[str]:
    for tag in ('disk', 'controller'):
        for driver in root.iterfind(f'devices/{tag}/driver'):
            yield from _named(driver)


def _named(driver: etree._Element | None) -> Iterator[str]:
    """Yield the iothreads that a device names."""
    if driver is None:
        return
    one = driver.get('iothread')
    if one:
        yield one
    for each in driver.iterfind('iothreads/iothread'):
        yield each.get('id', '')


def _controllers(root: etree._Element) -> dict[str, etree._Element]:
    return {
        each.get('index', '0'): each
        for each in root.iterfind("devices/controller[@type='scsi']")
    }


def _disk(
    element: etree._Element, controllers: dict[str, etree._Element]
) -> Disk:
    disk = devices.disk(element)
    bus, server = disk.bus, element.find('driver')
    if bus == 'scsi':
        address = element.find('address')
        index = '0' if address is None else address.get('controller', '0')
        controller = controllers.get(index)
        server = None if controller is None else controller.find('driver')
        model = None if controller is None else controller.get('model')
        if model is not None and not model.startswith('virtio'):
            bus = model
    return Disk(
        name=disk.target,
        bus=bus,
        cache=disk.driver.get('cache', '').replace('default', ''),
        engine=disk.driver.get('io', ''),
        iothread=any(_named(server)),
        queues=_number(server, 'queues'),
        local=disk.type in _LOCAL,
        elsewhere=disk.vhost_user,
    )


def _nic(element: etree._Element) -> Nic:
    nic = devices.interface(element)
    backend = nic.driver.get('name')
    target = element.find('target')
    model = nic.model or 'virtio'
    return Nic(
        name=(nic.mac or '').lower(),
        model=model,
        virtio=model.startswith('virtio'),
        tapped=nic.tapped,
        vhost=None if backend is None else backend == 'vhost',
        queues=number(nic.driver.get('queues', '')) or 1,
        host='' if target is None else target.get('dev', ''),
    )


def _number(element: etree._Element | None, key: str) -> int | None:
    return None if element is None else number(element.get(key, ''))


def _is_on(element: etree._Element | None) -> bool:
    return element is not None and element.get('state', 'on') == 'on'
