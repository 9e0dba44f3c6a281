"""iothreads: how many, which disk names which, and where they run."""

from collections.abc import Iterable

from kvm_tuning.core import cpuset
from kvm_tuning.core.definition import sizes
from kvm_tuning.core.demands import Demand, Pool, PoolDemand
from kvm_tuning.core.effects import Absent, Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Controller, Disk, Guest
from kvm_tuning.core.knobs import Choice, Count, Knob
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.core.xml import pins
from kvm_tuning.hooks.base import Hook, Outcome, missed, unkept
from kvm_tuning.hooks.emulator_threads import POOLS, emulator_cpus

COUNT = 'kvm:iothreads'
MAP = 'kvm:disk_iothread_map'
CPUS = 'kvm:iothread_cpus'

MAXIMUM = 16
# The queue-to-iothread mapping of virtio-blk: libvirt's formatdomain ("since
# 10.0.0") and QEMU's iothread-vq-mapping property (9.0).
_SPREAD_LIBVIRT = (10, 0, 0)
_SPREAD_QEMU = (9, 0, 0)
# That of virtio-scsi: formatdomain ("since 11.2.0"), QEMU 10.0.
_SPREAD_SCSI_LIBVIRT = (11, 2, 0)
_SPREAD_SCSI_QEMU = (10, 0, 0)


class Iothreads(Hook):
    """An iothread that no disk names does nothing, so a request for iothreads
    also assigns disks to them. If the domain already has iothreads (Nova gives
    every guest one), their number is raised to the requested one, never added
    to it.
    """

    name = 'iothreads'
    knobs = (
        Knob(
            COUNT,
            Count(1, MAXIMUM),
            'Number of iothreads. The virtio disks are assigned to them in '
            f"turn unless {MAP} says otherwise. Of a profile's number no "
            'more are made than there are disks and controllers to serve.',
        ),
        Knob(
            MAP,
            Choice(('shared', 'dedicated', 'spread')),
            'One iothread for all disks (shared), one per disk (dedicated), '
            'or the queues of each disk spread over all iothreads (spread: '
            'libvirt 10.0 and QEMU 9.0; those of a virtio-scsi controller: '
            'libvirt 11.2 and QEMU 10.0). Without a count there are as many '
            'iothreads as that needs.',
        ),
        Knob(
            CPUS,
            POOLS,
            'Where the iothreads run: the shared set (housekeeping), the '
            "shared pCPUs inside the guest's L3 domains (l3) or cells "
            "(numa), or the guest's own pCPUs (guest).",
        ),
    )
    cells = True

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        how = request.get(MAP)
        if how is None or how.value != 'spread' or not how.promise:
            return
        if request.get(COUNT) is None:
            yield ConflictingKnobs(
                f'{how} needs {COUNT}: the number of iothreads to spread over'
            )

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]:
        cpus = request.get(CPUS)
        if cpus is not None:
            yield PoolDemand(
                'iothread', Pool(cpus.value), str(cpus), cpus.promise
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        wanted = _count(request, guest)
        asked = request.get(COUNT)
        if asked is not None and not asked.promise:
            # A preference is for the disks that there are.
            wanted = min(wanted, len(_disks(guest)) + len(_scsi(guest)))
        count = max(wanted, guest.iothreads)
        if not count:
            return
        if request.get(COUNT) is not None or request.get(MAP) is not None:
            yield Element('iothreads', text=str(count))
            yield from _map(request, guest, site, count)
        cpus = placement.pools.get('iothread') or emulator_cpus(
            request, placement, site
        )
        if cpus:
            text = cpuset.format(cpus)
            for number in _ids(guest, count):
                yield Element(
                    pins.iothread_pin(number),
                    {'cpuset': text},
                )


def _count(request: Request, guest: Guest) -> int:
    """Return how many iothreads are requested, by count or by map."""
    count = request.value(COUNT)
    if isinstance(count, int):
        return count
    how = request.value(MAP)
    if how == 'dedicated':
        return min(len(_disks(guest)), MAXIMUM)
    return 0 if how is None else 1


def _map(
    request: Request, guest: Guest, site: Site, count: int
) -> Iterable[Outcome]:
    how, ids = request.get(MAP), _ids(guest, count)
    disks = _disks(guest)
    controllers = _scsi(guest)
    yield from _cannot(request, guest)
    if not disks and not controllers:
        yield Consequence(
            'iothreads-idle',
            'operator',
            'the guest has no disk that an iothread could serve: its '
            'iothreads will be idle',
        )
        return
    users = len(disks) + len(controllers)
    if users < count and how is not None and how.value == 'dedicated':
        yield Consequence(
            'iothreads-idle',
            'operator',
            f'{count} iothreads, and {users} disks and virtio-scsi '
            f'controllers that can name one: the others will be idle',
        )
    if how is not None and how.value == 'spread':
        lacking = _lacking(site, _SPREAD_LIBVIRT, _SPREAD_QEMU)
        if not lacking:
            for disk in disks:
                yield from _spread(disk.path, ids)
            yield from _spread_controllers(how, controllers, ids, site)
            return
        yield unkept(how, 'in turn', lacking)
    if how is not None and how.value == 'dedicated' and count < len(disks):
        # unkept() raises for a promise.
        if how.promise:
            raise ConflictingKnobs(
                f'{how} needs one iothread for each of the {len(disks)} '
                f'disks, and there are {count}: raise {COUNT}'
            )
        yield unkept(
            how, 'in turn', f'{count} iothreads for {len(disks)} disks'
        )
    shared = how is not None and how.value == 'shared'
    if shared:
        ids = ids[:1]
    for turn, disk in enumerate(disks):
        number = ids[turn % len(ids)]
        yield Absent(f'{disk.path}/driver/iothreads')
        yield Element(f'{disk.path}/driver', {'iothread': str(number)})
    yield from _controllers(controllers, ids, len(disks))


def _controllers(
    controllers: list[Controller], ids: tuple[int, ...], taken: int
) -> Iterable[Outcome]:
    """Assign one iothread to each virtio-scsi controller, in turn."""
    for turn, controller in enumerate(controllers, taken):
        number = ids[turn % len(ids)]
        yield Absent(f'{controller.path}/driver/iothreads')
        yield Element(f'{controller.path}/driver', {'iothread': str(number)})


def _scsi(guest: Guest) -> list[Controller]:
    """Return the controllers that can name an iothread."""
    return [c for c in guest.scsi_controllers if c.model == 'virtio-scsi']


def _ids(guest: Guest, count: int) -> tuple[int, ...]:
    """Return the ids that ``count`` iothreads of the guest have."""
    return sizes.iothread_ids(guest.sizes.iothread_ids, count)


def _disks(guest: Guest) -> list[Disk]:
    """Return the disks that can name an iothread of their own (virtio-blk)."""
    return [disk for disk in guest.data_disks if disk.threadable]


def _cannot(request: Request, guest: Guest) -> Iterable[Outcome]:
    """Yield the note on the virtio disks that no iothread can serve."""
    names = [
        disk.target
        for disk in guest.data_disks
        if disk.bus == 'virtio' and not disk.threadable
    ]
    asked = request.get(MAP) or request.get(COUNT)
    if names and asked is not None and asked.promise:
        yield missed(
            asked,
            'no iothread',
            f'disk {", ".join(names)}: an iothread serves virtio disks on PCI '
            f'or CCW, and none of another process (vhost-user)',
        )


def _spread(path: str, ids: tuple[int, ...]) -> Iterable[Outcome]:
    """Spread the queues of a disk or controller over all iothreads."""
    yield Element(f'{path}/driver', {'iothread': None})
    for number in ids:
        yield Element(f"{path}/driver/iothreads/iothread[@id='{number}']")


def _spread_controllers(
    how: Asked, controllers: list[Controller], ids: tuple[int, ...], site: Site
) -> Iterable[Outcome]:
    if not controllers:
        return
    lacking = _lacking(site, _SPREAD_SCSI_LIBVIRT, _SPREAD_SCSI_QEMU)
    if lacking:
        yield missed(
            how, 'in turn', f'queues of virtio-scsi controllers: {lacking}'
        )
        yield from _controllers(controllers, ids, 0)
        return
    for controller in controllers:
        yield from _spread(controller.path, ids)


def _lacking(
    site: Site, libvirt: tuple[int, int, int], qemu: tuple[int, int, int]
) -> str:
    """Return which version a host lacks; empty where it lacks none."""
    for name, needed, found in (
        ('libvirt', libvirt, site.capabilities.libvirt),
        ('QEMU', qemu, site.capabilities.qemu),
    ):
        if found is not None and found < needed:
            wanted = '.'.join(map(str, needed[:2]))
            there = '.'.join(map(str, found))
            return f'it needs {name} {wanted}, and this host has {there}'
    return ''
