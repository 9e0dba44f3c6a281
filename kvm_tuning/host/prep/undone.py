"""Between an undo and the next apply, no device makes the host ready.

An undo may reload a driver. Its ports appear anew then, and udev starts
host-prep for them: it would apply again what is being undone.
"""

from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System

#: Below the root; a reboot takes it away.
PATH = 'run/kvm-tuning-undone'
NOTE = (
    'nothing is done for a device: host undo was the last that was asked for'
)


def begin(system: System) -> None:
    """Say, before the first change of an undo, that one is made.

    :raises JournalFailed: it cannot be written; nothing has been changed.
    """
    try:
        system.replace(PATH, '', 0o600)
    except OSError as error:
        raise _failed('written', error) from error


def end(system: System) -> None:
    """Say that what is configured is wanted again, or that nothing is left.

    :raises JournalFailed: it cannot be removed.
    """
    if not said(system.tree()):
        return
    try:
        system.remove(PATH)
    except OSError as error:
        raise _failed('removed', error) from error


def said(tree: Tree) -> bool:
    """Return whether nothing has been applied since the last undo."""
    return tree.raw(PATH) is not None


def _failed(what: str, error: OSError) -> JournalFailed:
    return JournalFailed(
        f'/{PATH} cannot be {what}: {error.strerror}; nothing is changed'
    )
