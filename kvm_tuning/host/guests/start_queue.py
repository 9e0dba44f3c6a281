"""The queue between libvirt's hook script and ``guest reconcile``: one file
an event, with the guest's name and libvirt's operation in two lines.
"""

from collections.abc import Iterable
import contextlib
from dataclasses import dataclass
import os

from kvm_tuning.core.exceptions import InventoryUnreadable

#: Most bytes of one event; libvirt's names of domains are shorter.
MAX_BYTES = 4096
#: libvirt's operation before QEMU is started (its documentation, "Hooks for
#: specific system management").
PREPARE = 'prepare'


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a guest."""

    guest: str
    operation: str
    path: str


def read(directory: str) -> list[Event]:
    """Return the events, oldest first; none where there is no queue.

    :raises InventoryUnreadable: it may not be read.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InventoryUnreadable(
            f'the queue {directory} cannot be read: {error.strerror}'
        ) from error
    found: list[tuple[int, Event]] = []
    for name in names:
        path = os.path.join(directory, name)
        # Another reader may have been faster.
        with contextlib.suppress(OSError):
            found.append((os.stat(path).st_mtime_ns, _event(path)))
    return [event for _time, event in sorted(found, key=lambda each: each[0])]


def starting(events: Iterable[Event]) -> set[str]:
    """Return the guests of which the last event is that they will start."""
    last = {event.guest: event.operation for event in events}
    return {guest for guest, what in last.items() if what == PREPARE}


def remove(events: Iterable[Event]) -> None:
    """Remove what was read."""
    for event in events:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(event.path)


def _event(path: str) -> Event:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        text = os.read(handle, MAX_BYTES).decode('utf-8', 'replace')
    finally:
        os.close(handle)
    guest, _line, operation = text.partition('\n')
    return Event(guest, operation.strip(), path)
