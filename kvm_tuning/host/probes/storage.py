"""Probe the files and devices behind a guest's disks."""

import mmap
import os
import stat

from kvm_tuning.core.site import Probe, Storage
from kvm_tuning.host.probes import qcow2

# O_DIRECT needs memory, offset and length aligned to the logical block size
# (open(2)): a page is, on every device whose blocks are no larger.
_BLOCK = max(4096, mmap.PAGESIZE)
# NONBLOCK: a file may have become a pipe when it is opened.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def probe(path: str) -> Storage:
    """Return what the file or device at ``path`` is and can do.

    It is opened for reading with O_DIRECT, and one aligned block is read;
    nothing is written. What may not be opened is unknown.
    """
    if not path.startswith('/'):
        unknown = Probe(None, f'{path} is not a path on this host')
        return Storage('network', unknown, unknown)
    try:
        status = os.stat(path)
    except OSError as error:
        unknown = Probe(None, f'{path}: {error.strerror}')
        return Storage(guess_kind(path), unknown, unknown)
    is_block = stat.S_ISBLK(status.st_mode)
    if not is_block and not stat.S_ISREG(status.st_mode):
        no = Probe(False, f'{path} is neither a file nor a block device')
        return Storage('file', no, no)
    direct = _direct(path)
    if is_block:
        whole = Probe(True, 'a block device is always fully allocated')
        return Storage('block', direct, whole)
    return Storage('file', direct, _allocated(path, status))


def unknown(path: str, why: str) -> Storage:
    """Return the storage of a host that is not the running one."""
    probe = Probe(None, why)
    return Storage(guess_kind(path), probe, probe)


def guess_kind(path: str) -> str:
    """Guess the kind of storage from its path."""
    if not path.startswith('/'):
        return 'network'
    return 'block' if path.startswith('/dev/') else 'file'


def _direct(path: str) -> Probe:
    try:
        handle = os.open(path, _FLAGS | os.O_DIRECT)
    except OSError as error:
        return _refused(path, 'an open with O_DIRECT', error)
    try:
        # Anonymous memory is aligned to a page.
        with mmap.mmap(-1, _BLOCK) as buffer:
            os.preadv(handle, [buffer], 0)
    except OSError as error:
        return _refused(path, 'an aligned read with O_DIRECT', error)
    finally:
        os.close(handle)
    return Probe(True, f'{path} was opened and read with O_DIRECT')


def _refused(path: str, what: str, error: OSError) -> Probe:
    works = None if isinstance(error, PermissionError) else False
    return Probe(works, f'{what} of {path} failed: {error.strerror}')


def _allocated(path: str, status: os.stat_result) -> Probe:
    """Return whether writes to the image need no new blocks."""
    # stat(2): units of 512 bytes on Linux, whatever the block size.
    held = status.st_blocks * 512
    try:
        image = qcow2.read_header(_start(path))
    except OSError as error:
        return _refused(path, 'an open', error)
    if image is not None:
        why = qcow2.why_it_grows(image, status.st_size, held)
        if why:
            return Probe(False, f'{path} is qcow2 and can still grow: {why}')
        return Probe(True, f'{path} is qcow2 and fully allocated')
    if held < status.st_size:
        return Probe(
            False,
            f'{path} is sparse: {held} of {status.st_size} bytes allocated',
        )
    return Probe(True, f'{path} is fully allocated: {status.st_size} bytes')


def _start(path: str) -> bytes:
    handle = os.open(path, _FLAGS)
    try:
        return os.pread(handle, qcow2.HEADER_BYTES, 0)
    finally:
        os.close(handle)
