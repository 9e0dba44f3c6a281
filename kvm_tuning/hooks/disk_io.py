"""Disk cache mode and AIO engine."""

from collections.abc import Iterable

from kvm_tuning.core.consequences import not_migratable
from kvm_tuning.core.effects import Consequence, Element
from kvm_tuning.core.exceptions import ConflictingKnobs, RequestError
from kvm_tuning.core.guest import Disk, Guest
from kvm_tuning.core.knobs import Choice, Knob
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Capabilities, Probe, Site, Storage
from kvm_tuning.hooks.base import Hook, Outcome, missed, unkept, works

CACHE = 'kvm:disk_cache'
ENGINE = 'kvm:disk_io'

#: Cache modes that open the image with O_DIRECT.
DIRECT = frozenset({'none', 'directsync'})
# Disk types that end in a file or device of this host; what a volume is,
# its pool says at the start.
_WITH_ENGINE = frozenset({'file', 'block', 'volume', 'dir'})
# io='io_uring': libvirt's formatdomain ("since 6.3.0"), QEMU 5.0.
_URING_LIBVIRT = (6, 3, 0)
_URING_QEMU = (5, 0, 0)


class DiskIo(Hook):
    """A mode that cannot work is refused, never silently replaced: O_DIRECT
    and io_uring are tried on this host first.
    """

    name = 'disk_io'
    knobs = (
        Knob(
            CACHE,
            Choice(
                ('none', 'writeback', 'writethrough', 'directsync', 'unsafe')
            ),
            "Cache mode of every disk. none and directsync bypass the host's "
            'page cache; only they allow a safe live migration with shared '
            'storage. unsafe loses data when the host fails.',
            needs_storage=True,
        ),
        Knob(
            ENGINE,
            Choice(('native', 'threads', 'io_uring', 'auto')),
            'AIO engine of every disk. native needs cache none or directsync '
            'and a block device or a fully allocated file. auto takes the '
            'best one that works: native, io_uring, threads.',
            needs_storage=True,
            traits={'io_uring': '_IO_URING'},
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        cache, engine = request.get(CACHE), request.get(ENGINE)
        if (
            cache is not None
            and engine is not None
            and engine.value == 'native'
            and engine.promise
            and cache.value not in DIRECT
        ):
            yield ConflictingKnobs(
                f'{engine} needs {CACHE}=none or directsync, not {cache}'
            )
        if cache is None:
            return
        if cache.value == 'unsafe':
            yield Consequence(
                'data-loss',
                'tenant',
                "the guest's flushes are ignored: a crash of the host loses "
                'data and can corrupt its file systems',
            )
        if cache.value not in DIRECT:
            yield not_migratable(
                f'libvirt refuses to live-migrate a guest with disk cache '
                f'{cache.value} on shared storage'
            )

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Outcome]:
        for disk in guest.data_disks:
            attributes: dict[str, str | None] = {}
            yield from _disk(request, disk, site.capabilities, attributes)
            if attributes:
                yield Element(f'{disk.path}/driver', attributes)


def _disk(
    request: Request,
    disk: Disk,
    capabilities: Capabilities,
    attributes: dict[str, str | None],
) -> Iterable[Outcome]:
    """Add the attributes for ``disk`` to ``attributes``."""
    cache, engine = request.get(CACHE), request.get(ENGINE)
    storage = capabilities.storage.get(disk.source or '', Storage(disk.type))
    if cache is not None:
        yield from _cache(cache, disk, storage, attributes)
    if engine is not None:
        yield from _engine(engine, disk, storage, capabilities, attributes)
    if cache is not None:
        yield from _clash(cache, disk, attributes)


def _cache(
    cache: Asked,
    disk: Disk,
    storage: Storage,
    attributes: dict[str, str | None],
) -> Iterable[Outcome]:
    found = disk.driver.get('cache', 'default')
    if disk.vhost_user:
        yield _skipped(cache, disk, 'a process outside of QEMU serves it')
        return
    note = _cache_missing(cache, disk, storage)
    if note is not None:
        yield note
        return
    attributes['cache'] = mode = str(cache.value)
    if mode in DIRECT and mode != found and storage.direct.works is None:
        yield _unprobed(disk, 'O_DIRECT', storage.direct)


def _engine(
    engine: Asked,
    disk: Disk,
    storage: Storage,
    capabilities: Capabilities,
    attributes: dict[str, str | None],
) -> Iterable[Outcome]:
    if disk.type not in _WITH_ENGINE:
        yield _skipped(
            engine,
            disk,
            f'QEMU has AIO engines for files and block devices, not for type '
            f'{disk.type}',
        )
        return
    mode = attributes.get('cache') or disk.driver.get('cache', 'default')
    if engine.value == 'auto':
        attributes['io'] = _best(mode, storage, capabilities)
        return
    note = _engine_missing(engine, disk, mode, storage, capabilities)
    if note is None:
        attributes['io'] = str(engine.value)
    else:
        yield note


def _skipped(asked: Asked, disk: Disk, why: str) -> Unkept | Consequence:
    """Return the note on a disk that a knob does not apply to."""
    reason = f'disk {disk.target}: {why}'
    if asked.promise:
        return missed(asked, 'not set', reason)
    return Consequence(
        'disk-skipped', 'operator', f'{asked.key} is not set: {reason}'
    )


def _clash(
    cache: Asked, disk: Disk, attributes: dict[str, str | None]
) -> Iterable[Outcome]:
    """Refuse a cache mode that the engine of the disk does not work with,
    whoever chose that: libvirt refuses the pair.
    """
    engine = attributes.get('io', disk.driver.get('io'))
    mode = attributes.get('cache')
    if engine != 'native' or mode is None or mode in DIRECT:
        return
    why = (
        f"disk {disk.target} has io='native', which needs cache none or "
        f'directsync: set {ENGINE}, too'
    )
    if cache.promise:
        raise ConflictingKnobs(f'{cache} cannot be kept: {why}')
    del attributes['cache']
    yield unkept(cache, disk.driver.get('cache', 'default'), why)


def _cache_missing(
    cache: Asked, disk: Disk, storage: Storage
) -> Unkept | None:
    if cache.value in DIRECT and not works(storage.direct):
        return unkept(
            cache,
            disk.driver.get('cache', 'default'),
            f'disk {disk.target}: {storage.direct.reason}',
        )
    if disk.shareable and cache.value not in DIRECT:
        return unkept(
            cache,
            disk.driver.get('cache', 'default'),
            f'disk {disk.target} is shareable, and only cache none and '
            'directsync are safe for it',
        )
    return None


def _engine_missing(
    engine: Asked,
    disk: Disk,
    mode: str,
    storage: Storage,
    capabilities: Capabilities,
) -> Unkept | None:
    if engine.value == 'native':
        why = _native_missing(mode, storage)
    elif engine.value == 'io_uring':
        why = _uring_missing(capabilities)
    else:
        why = None
    if why is None:
        return None
    found = disk.driver.get('io', 'default')
    return unkept(engine, found, f'disk {disk.target}: {why}')


def _native_missing(mode: str, storage: Storage) -> str | None:
    if mode not in DIRECT:
        return (
            f'its cache mode is {mode}, and native needs none or directsync: '
            f'set {CACHE}'
        )
    if storage.kind == 'block' or works(storage.allocated):
        return None
    return (
        f'native needs a block device or a fully allocated file, as QEMU '
        f'would block on allocating writes: {storage.allocated.reason}'
    )


def _uring_missing(capabilities: Capabilities) -> str | None:
    if not works(capabilities.io_uring):
        return f'io_uring: {capabilities.io_uring.reason}'
    if capabilities.libvirt and capabilities.libvirt < _URING_LIBVIRT:
        return 'io_uring needs libvirt 6.3'
    if capabilities.qemu and capabilities.qemu < _URING_QEMU:
        return 'io_uring needs QEMU 5.0'
    return None


def _best(mode: str, storage: Storage, capabilities: Capabilities) -> str:
    if (
        mode in DIRECT
        and _native_missing(mode, storage) is None
        and (storage.kind == 'block' or storage.allocated.works)
    ):
        return 'native'
    if capabilities.io_uring.works and _uring_missing(capabilities) is None:
        return 'io_uring'
    return 'threads'


def _unprobed(disk: Disk, what: str, probe: Probe) -> Consequence:
    return Consequence(
        'unprobed',
        'operator',
        f'disk {disk.target}: {what} could not be tried here ({probe.reason})',
    )
