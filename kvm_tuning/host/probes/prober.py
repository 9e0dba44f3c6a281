"""Probe the capabilities of a host by using them.

A probe that lacks a privilege has no answer (``works`` is None): libvirt and
QEMU have privileges of their own.
"""

from collections.abc import Iterable
import ctypes
import errno
import fcntl
import logging
import os
import re
import struct

from kvm_tuning.core.site import Capabilities, Probe
from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import interfaces
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.probes import storage

LOG = logging.getLogger(__name__)

_Version = tuple[int, int, int]

_VERSION = re.compile(r'\A(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?')
# linux/kvm.h
_KVM_GET_API_VERSION = 0xAE00
_KVM_CREATE_VM = 0xAE01
_KVM_API_VERSION = 12
# linux/vhost.h: _IOR(0xAF, 0x00, __u64), and with the bits of PowerPC.
_VHOST_GET_FEATURES = 0x8008AF00
_VHOST_GET_FEATURES_PPC = 0x4008AF00
# linux/if_tun.h: _IOR('T', 207, unsigned int), and IFF_MULTI_QUEUE.
_TUNGETFEATURES = 0x800454CF
_TUNGETFEATURES_PPC = 0x400454CF
_IFF_MULTI_QUEUE = 0x0100
_THP = 'sys/kernel/mm/transparent_hugepage/enabled'
# The number is the same on all architectures with the common table.
_SYS_IO_URING_SETUP = 425
_IO_URING_PARAMS_BYTES = 120


def probe(
    guest_disks: Iterable[str] = (),
    root: str = '/',
    libvirt_version: _Version | None = None,
    qemu_version: _Version | None = None,
) -> Capabilities:
    """Return what works on the host below ``root``.

    :param guest_disks: paths in the ``<source>`` of a guest's disks.
    :param libvirt_version: as reported by libvirt; neither libvirt nor QEMU
        is queried here.
    :raises InventoryUnreadable: ``root`` is not a directory.
    """
    tree = Tree(root)
    kernel = read_kernel(tree)
    thp = read_transparent_huge_pages(tree)
    management = read_management_nics(tree)
    paths = tuple(dict.fromkeys(guest_disks))
    LOG.debug('probe KVM, vhost, io_uring and %d disks', len(paths))
    if not tree.is_this_host:
        why = f'the host below {root} is not the running one'
        unknown = Probe(None, why)
        return Capabilities(
            kernel=kernel,
            libvirt=libvirt_version,
            qemu=qemu_version,
            kvm=unknown,
            vhost_net=unknown,
            io_uring=unknown,
            tap_queues=None if kernel is None else most_tap_queues(kernel),
            storage={path: storage.unknown(path, why) for path in paths},
            transparent_huge_pages=thp,
            management_nics=management,
        )
    return Capabilities(
        kernel=kernel,
        libvirt=libvirt_version,
        qemu=qemu_version,
        kvm=probe_kvm('/dev/kvm'),
        vhost_net=probe_vhost_net('/dev/vhost-net'),
        io_uring=probe_io_uring(tree),
        tap_queues=probe_tap_queues('/dev/net/tun', kernel),
        storage={path: storage.probe(path) for path in paths},
        transparent_huge_pages=thp,
        management_nics=management,
    )


def read_kernel(tree: Tree) -> _Version | None:
    """Return the kernel's version from /proc or from the file of
    hwloc-gather-topology; None when neither has it.
    """
    text = tree.text('proc/sys/kernel/osrelease')
    if text is None:
        version = tree.text('proc/version') or ''
        text = version.removeprefix('Linux version ')
    if not text:
        for line in (tree.text('proc/hwloc-nofile-info') or '').splitlines():
            key, _colon, value = line.partition(': ')
            if key == 'OSRelease':
                text = value
    match = _VERSION.match(text)
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def read_transparent_huge_pages(tree: Tree) -> str | None:
    """Return the mode in force: ``always``, ``madvise`` or ``never``; None
    when it is not shown.
    """
    text = tree.text(_THP)
    return None if text is None else attribute.plain(text)


def read_management_nics(tree: Tree) -> frozenset[str] | None:
    """Return the interfaces that carry the host's own traffic; None when the
    host's routes cannot be read.
    """
    if tree.raw('proc/net/route') is None:
        return None
    host = Host(tree)
    return frozenset(
        name
        for name in tree.names('sys/class/net')
        if name != 'lo' and interfaces.carries(host, name)
    )


def probe_kvm(path: str) -> Probe:
    """Check KVM's API version, and create a VM."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return _not_opened(path, error, 'is the kvm module loaded?')
    try:
        version = fcntl.ioctl(handle, _KVM_GET_API_VERSION)
        if version != _KVM_API_VERSION:
            return Probe(
                False,
                f'{path} has API version {version}, not {_KVM_API_VERSION}',
            )
        os.close(fcntl.ioctl(handle, _KVM_CREATE_VM, 0))
    except OSError as error:
        return Probe(False, f'{path} did not create a VM: {error.strerror}')
    finally:
        os.close(handle)
    return Probe(True, f'{path} created a VM')


def probe_vhost_net(path: str) -> Probe:
    """Query the features of vhost-net."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return _not_opened(path, error, 'is the vhost_net module loaded?')
    request = _by_machine(_VHOST_GET_FEATURES, _VHOST_GET_FEATURES_PPC)
    try:
        fcntl.ioctl(handle, request, bytes(8))
    except OSError as error:
        return Probe(
            False, f'{path} did not report its features: {error.strerror}'
        )
    finally:
        os.close(handle)
    return Probe(True, f'{path} reported its features')


def probe_io_uring(tree: Tree) -> Probe:
    """Set up a ring, as QEMU does for ``io='io_uring'``."""
    library = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(_IO_URING_PARAMS_BYTES)
    handle = library.syscall(_SYS_IO_URING_SETUP, 1, parameters)
    number = ctypes.get_errno()
    disabled = tree.number('proc/sys/kernel/io_uring_disabled')
    if handle >= 0:
        os.close(handle)
        return _ring_set_up(disabled)
    return explain_io_uring(number, disabled)


def explain_io_uring(number: int, disabled: int | None) -> Probe:
    """Return why io_uring_setup(2) failed with errno ``number``, where
    kernel.io_uring_disabled is ``disabled`` (the kernel's
    admin-guide/sysctl/kernel.rst).
    """
    if number == errno.ENOSYS:
        why = 'the kernel was built without it, or a seccomp filter hides it'
    elif number == errno.EPERM and disabled == 2:
        why = 'kernel.io_uring_disabled is 2: nobody may use it'
    elif number == errno.EPERM and disabled == 1:
        why = (
            'kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and the group '
            'kernel.io_uring_group may use it'
        )
    elif number == errno.EPERM:
        why = 'a seccomp filter or a security module forbids it'
    else:
        why = 'the kernel refused it'
    name = os.strerror(number)
    return Probe(False, f'io_uring_setup failed with {name}: {why}')


def _ring_set_up(disabled: int | None) -> Probe:
    if disabled == 1:
        # This process is privileged; QEMU is not.
        return Probe(
            None,
            'io_uring_setup worked here, but kernel.io_uring_disabled is 1: '
            "QEMU's user must be in kernel.io_uring_group",
        )
    return Probe(True, 'io_uring_setup worked')


def probe_tap_queues(path: str, kernel: _Version | None) -> int | None:
    """Return the most queues of a tap device: 1 without multiqueue,
    otherwise MAX_TAP_QUEUES of the kernel version.

    No tap is created to count them: a new interface would trigger udev and
    network managers.
    """
    by_kernel = None if kernel is None else most_tap_queues(kernel)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return by_kernel
    request = _by_machine(_TUNGETFEATURES, _TUNGETFEATURES_PPC)
    try:
        answer = fcntl.ioctl(handle, request, bytes(4))
    except OSError:
        return by_kernel
    finally:
        os.close(handle)
    (features,) = struct.unpack('=I', answer)
    return by_kernel if features & _IFF_MULTI_QUEUE else 1


def most_tap_queues(kernel: _Version) -> int:
    """Return MAX_TAP_QUEUES of drivers/net/tun.c: 8 from Linux 3.8, which
    added multiqueue, and 256 from 4.0.
    """
    if kernel >= (4, 0, 0):
        return 256
    return 8 if kernel >= (3, 8, 0) else 1


def _not_opened(path: str, error: OSError, hint: str) -> Probe:
    if isinstance(error, PermissionError):
        return Probe(None, f'{path}: {error.strerror}')
    return Probe(False, f'{path}: {error.strerror}; {hint}')


def _by_machine(usual: int, power: int) -> int:
    """Return an ioctl number; PowerPC encodes the direction differently."""
    return power if os.uname().machine.startswith('ppc') else usual
