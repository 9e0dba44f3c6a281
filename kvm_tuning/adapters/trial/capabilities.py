"""QEMU's capabilities, kept from one throw-away libvirt to the next.

At its first definition libvirt starts QEMU and spends some seconds asking it
for its capabilities. It keeps the answer in its folder, and checks at the
next start whether it still holds (by the times of QEMU's file and its own).
"""

import contextlib
import os
import re
import shutil

from kvm_tuning.host.access import owned

#: Where libvirt has them in its folder.
_BELOW = os.path.join('cache', 'qemu', 'capabilities')
# libvirt's names: the SHA-256 of QEMU's path.
_NAME = re.compile(r'[0-9a-f]{64}\.xml', re.ASCII)
_MAX_BYTES = 16 * 1024 * 1024
_PRIVATE = 0o700


def folder() -> str:
    """Return where they are kept: root's own folder, or the user's."""
    if os.geteuid() == 0:
        return '/var/cache/kvm-tuning/capabilities'
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'kvm-tuning', 'capabilities')


def restore(kept: str, root: str) -> None:
    """Give a new libvirt in ``root`` the files in ``kept``, but for those
    that somebody else could have written.
    """
    into = os.path.join(root, _BELOW)
    os.makedirs(into)
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        directory = owned.open_directory(kept)
        stack.callback(os.close, directory)
        for name in filter(_NAME.fullmatch, os.listdir(directory)):
            with contextlib.suppress(OSError):
                handle = owned.open_in(directory, name, os.O_RDONLY)
                with open(handle, 'rb') as file:
                    content = owned.read_handle(file.fileno(), _MAX_BYTES)
                with open(os.path.join(into, name), 'xb') as copy:
                    copy.write(content)


def keep(root: str, kept: str) -> None:
    """Keep the files that the libvirt in ``root`` has written."""
    found = os.path.join(root, _BELOW)
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        directory = owned.open_directory(kept, create=True, mode=_PRIVATE)
        stack.callback(os.close, directory)
        for name in filter(_NAME.fullmatch, os.listdir(found)):
            # Under a name of this process first: others read meanwhile.
            part = f'{name}.{os.getpid()}'
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            handle = owned.open_in(directory, part, flags, mode=0o600)
            with (
                open(os.path.join(found, name), 'rb') as file,
                open(handle, 'wb') as copy,
            ):
                shutil.copyfileobj(file, copy)
            os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
