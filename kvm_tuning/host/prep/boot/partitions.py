"""Where the EFI system partition and the extended boot loader's are mounted.

The Boot Loader Specification (UAPI.1, "Partitions") names /boot, /efi and
/boot/efi; bootctl(1) knows where else this host has them.
"""

from collections.abc import Iterator
import functools

from kvm_tuning.host.access import asked
from kvm_tuning.host.access.sysfs import Tree

USUAL = ('boot', 'efi', 'boot/efi')

_QUESTIONS = ('--print-boot-path', '--print-esp-path')


def paths(tree: Tree) -> Iterator[str]:
    """Yield each mount point once, under one of its names."""
    seen = set()
    for path in (*USUAL, *_elsewhere(tree)):
        real = tree.real(path)
        if real is not None and real not in seen:
            seen.add(real)
            yield path


def _elsewhere(tree: Tree) -> tuple[str, ...]:
    return _asked(tree.root) if tree.is_this_host else ()


@functools.cache
def _asked(root: str) -> tuple[str, ...]:
    """Ask once in the life of a process: a mount point stays."""
    tree = Tree(root)
    answers = (asked.answer(tree, ['bootctl', each]) for each in _QUESTIONS)
    return tuple(text.strip().strip('/') for text in answers if text)
