"""Unified kernel images (UAPI.5): a kernel, its initrd and its command line in
one file. systemd-stub(7) adds what add-ons next to it say.
"""

from collections.abc import Iterator
import struct

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import partitions, roots

_IMAGES = 'EFI/Linux'
_ADDONS = 'loader/addons'
_SECTION = b'.cmdline'
# The PE format: the DOS header says where the PE header is, and that one how
# many sections of 40 bytes there are.
_SECTION_BYTES = 40
_MOST_SECTIONS = 96
_LONGEST = 1 << 16


def paths(tree: Tree) -> Iterator[str]:
    """Yield the images that systemd-boot finds by itself.

    :raises InventoryUnreadable: a directory cannot be read.
    """
    seen = set()
    for partition in partitions.paths(tree):
        for name in tree.names(f'{partition}/{_IMAGES}'):
            path = f'{partition}/{_IMAGES}/{name}'
            real = tree.real(path)
            if name.lower().endswith('.efi') and real not in seen:
                seen.add(real)
                yield path


def command_line(tree: Tree, path: str) -> str | None:
    """Return the command line that an image starts with; None when it has
    none of its own.

    :raises InventoryUnreadable: it is not such an image.
    """
    found = _section(tree, path)
    partition = path.partition(f'/{_IMAGES}')[0]
    for directory in (f'{path}.extra.d', f'{partition}/{_ADDONS}'):
        for name in tree.names(directory):
            if name.endswith('.addon.efi'):
                more = _section(tree, f'{directory}/{name}')
                found = ' '.join(filter(None, (found, more)))
    return found


def own(host: Host) -> dict[str, str | None]:
    """Return the command lines of the images that start this system.

    :raises InventoryUnreadable: one cannot be read.
    """
    found = {path: command_line(host.tree, path) for path in paths(host.tree)}
    names = roots.own(host, {path: text or '' for path, text in found.items()})
    return {path: text for path, text in found.items() if path in names}


def _section(tree: Tree, path: str) -> str | None:
    try:
        (start,) = struct.unpack('<I', _part(tree, path, 0x3C, 4))
        header = _part(tree, path, start, 24)
        magic, _machine, count = struct.unpack('<4sHH', header[:8])
        (optional,) = struct.unpack('<H', header[20:22])
        if magic != b'PE\0\0' or count > _MOST_SECTIONS:
            raise struct.error
        table = _part(
            tree, path, start + 24 + optional, count * _SECTION_BYTES
        )
        for at in range(0, len(table), _SECTION_BYTES):
            name, size, _address, raw_size, offset = struct.unpack(
                '<8sIIII', table[at : at + 24]
            )
            if name == _SECTION:
                length = min(size or raw_size, raw_size, _LONGEST)
                text = _part(tree, path, offset, length)
                return text.decode(errors='surrogateescape').strip(' \n\0')
    except struct.error:
        raise InventoryUnreadable(
            f'{tree.root}: {path} is not a unified kernel image'
        ) from None
    return None


def _part(tree: Tree, path: str, offset: int, size: int) -> bytes:
    found = tree.part(path, offset, size)
    if found is None or len(found) != size:
        raise struct.error
    return found
