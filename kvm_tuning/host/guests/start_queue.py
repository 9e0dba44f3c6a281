"""Read the queue between libvirt's hook script and ``guest reconcile``.

Each event is one file of two lines: the guest's name and libvirt's operation.
"""

from collections.abc import Iterable
import contextlib
from dataclasses import dataclass
import os
import shutil

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access import owned

#: Most bytes of one event; libvirt's names of domains are shorter.
MAX_BYTES = 4096
#: Most events read at once; the next run reads the rest.
MAX_EVENTS = 10_000
#: libvirt's operation before QEMU is started (libvirt's documentation,
#: "Hooks for specific system management").
PREPARE = 'prepare'


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a guest."""

    #: Its name; empty for a file that the hook script did not write.
    guest: str
    operation: str
    path: str


def read(directory: str) -> list[Event]:
    """Return the events, oldest first; none when there is no queue.

    Any other file comes back as an event without a guest, so that it is
    removed as well: systemd keeps starting runs until the queue is empty.

    :raises InventoryUnreadable: it may not be read, or a stranger can have
        written to it.
    """
    try:
        handle = owned.open_directory(os.path.abspath(directory), links=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InventoryUnreadable(
            f'the queue {directory} cannot be read: {error.strerror}'
        ) from error
    found: list[tuple[int, Event]] = []
    try:
        for name in sorted(os.listdir(handle))[:MAX_EVENTS]:
            path = os.path.join(directory, name)
            # Another reader may have removed it.
            with contextlib.suppress(FileNotFoundError):
                found.append(_event(handle, name, path))
    finally:
        os.close(handle)
    return [event for _time, event in sorted(found, key=lambda each: each[0])]


def starting(events: Iterable[Event]) -> set[str]:
    """Return the guests whose last event says that they will start."""
    last = {event.guest: event.operation for event in events}
    return {guest for guest, what in last.items() if guest and what == PREPARE}


def remove(events: Iterable[Event]) -> None:
    """Remove events from the queue."""
    for event in events:
        try:
            os.unlink(event.path)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            shutil.rmtree(event.path, ignore_errors=True)


def _event(directory: int, name: str, path: str) -> tuple[int, Event]:
    """Return the time and the event; one without a guest for other things."""
    time = os.lstat(name, dir_fd=directory).st_mtime_ns
    try:
        handle = owned.open_in(directory, name, os.O_RDONLY)
        try:
            text = owned.read_handle(handle, MAX_BYTES).decode()
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError):
        return time, Event('', '', path)
    guest, _line, operation = text.partition('\n')
    if not guest.isprintable():
        return time, Event('', '', path)
    return time, Event(guest, operation.strip(), path)
