"""What libvirt keeps on disk of the guests of this host.

Read by the privileged process, which believes nobody who calls it: what a
guest has is what libvirt, as root, has written down.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import errno
import os

from kvm_tuning.core import domain
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.guest import Guest
from kvm_tuning.host.access import owned

#: Status files of running guests, and definitions (virDomainObjSave,
#: virDomainDefSave).
_RUNNING = 'run/libvirt/qemu'
_DEFINED = 'etc/libvirt/qemu'


@dataclass(frozen=True, slots=True)
class Kept:
    """One document that libvirt keeps."""

    guest: Guest
    running: bool


def read(root: str = '/') -> list[Kept]:
    """Return all documents of guests below ``root``.

    A definition that cannot be read is left out: it gives nobody a VF. The
    document of a running guest may not be: it could hold any.

    :raises OSError: one of a running guest cannot be read, or a stranger
        could have written it; or libvirt keeps none here.
    """
    found = [
        *(Kept(guest, True) for guest in _guests(root, _RUNNING, True)),
        *(Kept(guest, False) for guest in _guests(root, _DEFINED, False)),
    ]
    if not found:
        raise FileNotFoundError(
            f'libvirt keeps no guest in /{_RUNNING} or /{_DEFINED}: the '
            f'privileged process has to see both'
        )
    return found


def _guests(root: str, folder: str, all_needed: bool) -> Iterator[Guest]:
    try:
        handle = owned.open_directory(folder, root)
    except FileNotFoundError:
        return
    try:
        for name in sorted(os.listdir(handle)):
            if not name.endswith('.xml'):
                continue
            try:
                yield _guest(handle, name, root)
            except FileNotFoundError:
                # It ended, or was undefined, since the directory was read.
                continue
            except (OSError, InvalidDocument, UnicodeDecodeError) as error:
                if all_needed:
                    raise OSError(
                        errno.EINVAL, f'/{folder}/{name}: {error}'
                    ) from error
    finally:
        os.close(handle)


def _guest(directory: int, name: str, root: str) -> Guest:
    handle = owned.open_in(directory, name, os.O_RDONLY, root)
    try:
        text = owned.read_handle(handle, domain.MAX_BYTES)
    finally:
        os.close(handle)
    return domain.kept(text.decode())
