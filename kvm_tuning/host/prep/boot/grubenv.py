"""GRUB's environment block, which its menu loads (grub-editenv(1))."""

from collections.abc import Mapping
import re

from kvm_tuning.host.access import asked
from kvm_tuning.host.access.sysfs import Tree

NAME = 'grubenv'
#: Where distributions keep it; on EFI machines a link may lead to the ESP.
DIRECTORIES = ('boot/grub2', 'boot/grub')

_EDITORS = ('grub-editenv', 'grub2-editenv')
_LINE = re.compile(r'([^=\n]+)=((?:\\.|[^\\\n])*)\n', re.DOTALL)


def read(tree: Tree) -> dict[str, str]:
    """Return the variables of the first block that is there.

    :raises InventoryUnreadable: it cannot be read.
    """
    for directory in DIRECTORIES:
        path = f'{directory}/{NAME}'
        raw = tree.raw(path)
        if raw is not None:
            return dict(_asked(tree, path) or parsed(raw))
    return {}


def _asked(tree: Tree, path: str) -> Mapping[str, str] | None:
    """Return what GRUB's own program says; None where it cannot be run."""
    for editor in _EDITORS:
        text = asked.answer(tree, [editor, f'/{path}', 'list'])
        if text is not None:
            pairs = (line.partition('=') for line in text.splitlines())
            return {name: value for name, equals, value in pairs if equals}
    return None


def parsed(raw: bytes) -> dict[str, str]:
    """Return the variables of a block: lines of ``name=value``, in which a
    backslash stands before a backslash or a line's end of the value.
    """
    text = raw.decode(errors='surrogateescape')
    lines = ''.join(
        line
        for line in re.findall(r'(?:\\.|[^\\\n])*\n', text, re.DOTALL)
        if not line.startswith('#')
    )
    return {
        match[1]: re.sub(r'\\(.)', r'\1', match[2], flags=re.DOTALL)
        for match in _LINE.finditer(lines)
    }
