"""The archive of a capture: a tree that ``--root`` reads as the host."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
import io
import os
import stat
import tarfile
from typing import Any

from kvm_tuning.core.exceptions import HostError, InventoryUnreadable
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.capture import filters, reads
from kvm_tuning.host.capture.masks import Masks

#: Most bytes of all files together, far above what a host of 1,024 CPUs has.
MAX_BYTES = 1 << 28
# path_resolution(7)
_MAX_LINKS = 40
#: Where the names in a directory are looked at, files that nobody reads too.
_LISTED = (
    'sys/', 'boot/', 'efi/', 'proc/irq/', 'etc/systemd/', 'usr/lib/systemd/',
)  # fmt: skip
_LINKED = ('sys/', 'boot/', 'efi/', 'etc/', 'usr/lib/', 'run/udev')


@dataclass(frozen=True, slots=True)
class Member:
    """One name in the archive."""

    path: str
    #: Contents of a file; None: a link or a directory.
    content: bytes | None = None
    #: Target of a link.
    target: str | None = None
    #: Of a file: whether an attribute may be written says what a change takes.
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Capture:
    """What is packed, and what of what is read is not."""

    members: dict[str, Member] = field(default_factory=dict)
    #: Why, by path.
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(each.content or b'') for each in self.members.values())


def capture(root: str, look: Callable[[], Any]) -> Capture:
    """Return what ``look`` reads of the host below ``root``.

    :raises HostError: it is more than :data:`MAX_BYTES`.
    """
    tree = Tree(root)
    found = reads.of(look)
    packer = _Packer(tree, Masks(_hosts(tree)))
    for path in sorted(found.folders):
        packer.folder(path)
    for path in sorted(found.links):
        if path.startswith(_LINKED):
            packer.way(path)
    # Of some only whether they are there is asked.
    for path in sorted(found.files | found.links):
        packer.file(path, asked=path in found.files)
    return packer.made


def write(made: Capture, path: str) -> None:
    """Write the archive, which only its owner may read.

    :raises OSError: it cannot be written, or is there already.
    """
    handle = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
    )
    with (
        open(handle, 'wb') as stream,
        tarfile.open(fileobj=stream, mode='w:gz') as archive,
    ):
        for each in _ordered(made):
            info = tarfile.TarInfo(each.path)
            info.mode = 0o755
            if each.target is not None:
                info.type, info.linkname = tarfile.SYMTYPE, each.target
                archive.addfile(info)
            elif each.content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.mode, info.size = each.mode, len(each.content)
                archive.addfile(info, io.BytesIO(each.content))


def _ordered(made: Capture) -> Iterator[Member]:
    """Yield directories before what is in them."""
    for path in sorted(made.members):
        yield made.members[path]


def _hosts(tree: Tree) -> tuple[str, ...]:
    names = (
        tree.text('proc/sys/kernel/hostname'),
        tree.foreign('etc/hostname'),
    )
    # A name that is a word of the files, too, would be replaced everywhere.
    return tuple(
        name
        for name in names
        if name and name not in ('localhost', 'host', '(none)', 'debian')
    )


class _Packer:
    def __init__(self, tree: Tree, masks: Masks) -> None:
        self._tree = tree
        self._masks = masks
        self.made = Capture()
        self._bytes = 0

    def folder(self, path: str) -> None:
        """Pack a directory, and of its names what is looked at."""
        if not path.startswith((*_LINKED, 'proc/irq')):
            return
        real = self.way(path)
        if real is None or not path.startswith(_LISTED):
            return
        try:
            names = self._tree.names(path)
        except InventoryUnreadable as error:
            self.made.left_out[path] = str(error)
            return
        for name in names:
            child = self.way(f'{real}/{name}', follow=False)
            if child is not None:
                self._put(Member(child, b''), weak=True)

    def file(self, path: str, asked: bool = True) -> None:
        """Pack what may be given away of a file.

        :param asked: whether its contents were read.
        """
        keep = filters.find(path)
        if keep is None:
            if asked and path and self._exists(path):
                self.made.left_out[path] = 'it is not in the allow-list'
            return
        try:
            raw = self._tree.raw(path, limit=LARGE_BYTES)
        except InventoryUnreadable as error:
            self.made.left_out[path] = str(error)
            return
        real = self.way(path)
        if raw is None or real is None or self._is_folder(real):
            return
        # A link may lead to a file of another kind.
        if filters.find(real) is None:
            self.made.left_out[path] = f'it leads to {real}'
            return
        text = raw.decode(errors='surrogateescape')
        kept = self._masks.text(keep(text, self._masks))
        content = kept.encode(errors='surrogateescape')
        self._bytes += len(content)
        if self._bytes > MAX_BYTES:
            raise HostError(f'a capture has more than {MAX_BYTES} bytes')
        self._put(Member(real, content, mode=self._mode(real)))

    def _mode(self, real: str) -> int:
        found = os.stat(os.path.join(self._tree.root, real))
        return stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IRUSR

    def _exists(self, path: str) -> bool:
        try:
            return self._tree.real(path) is not None
        except InventoryUnreadable:
            return True

    def way(self, path: str, follow: bool = True) -> str | None:
        """Pack the directories and links on the way to a path, and return
        what it is without links; None: it is not there, or is a directory or
        a link that is not to be followed.
        """
        parts, real, links = path.split('/'), '', 0
        while parts:
            name = parts.pop(0)
            if name in ('', '.'):
                continue
            if name == '..':
                real = real.rpartition('/')[0]
                continue
            step = f'{real}/{name}' if real else name
            try:
                target = self._tree.target(step)
                isdir = target is None and self._is_folder(step)
            except InventoryUnreadable as error:
                self.made.left_out[step] = str(error)
                return None
            if target is not None:
                self._put(Member(step, target=self._masks.text(target)))
                links += 1
                if links > _MAX_LINKS or not (parts or follow):
                    return None
                parts[:0] = target.split('/')
                real = '' if target.startswith('/') else real
                continue
            if isdir:
                self._put(Member(step))
                if not parts and not follow:
                    return None
            elif parts:
                return None
            real = step
        return real or None

    def _is_folder(self, path: str) -> bool:
        return os.path.isdir(os.path.join(self._tree.root, path))

    def _put(self, member: Member, weak: bool = False) -> None:
        path = self._masks.text(member.path)
        if weak and path in self.made.members:
            return
        self.made.members[path] = replace(member, path=path)
