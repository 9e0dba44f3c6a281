"""What the commands of host-prep share: session, lock, apply."""

import argparse
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import os
import time
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd import arguments
from kvm_tuning.core.exceptions import ConfigInvalid, JournalFailed

if TYPE_CHECKING:
    from kvm_tuning.host.access.system import System
    from kvm_tuning.host.inventory.host import Host
    from kvm_tuning.host.prep.apply import Outcome, Plan
    from kvm_tuning.host.prep.change import ChangeContext
    from kvm_tuning.host.prep.goals import Item, Terms
    from kvm_tuning.host.prep.journal import Journal

#: The host that is changed. Only what reads takes ``--root``.
ROOT = '/'

_WAIT_STEP_SECONDS = 0.5
_BUSY = (
    'another host apply or undo is running, or one that was killed still '
    'waits for the kernel; try again when it has ended'
)
_CELL = 32


@dataclass
class Session:
    """One look at a host and its configuration."""

    root: str
    conf: Any
    host: 'Host'
    journal: 'Journal'
    #: What is wrong with the configuration, where the defaults stand in.
    fault: str = ''

    @property
    def notes(self) -> list[str]:
        """What to say of the configuration that an undo did without."""
        if not self.fault:
            return []
        return [
            f'the configuration is not valid: {self.fault}. The journal says '
            f'what is restored; options are at their defaults, and no word '
            f'of allow counts as given'
        ]

    def items(self) -> 'list[Item]':
        from kvm_tuning.host.prep import configured

        return configured.items(self.conf, self.host, self.journal)

    def terms(self) -> 'Terms':
        from kvm_tuning.host.prep import configured

        return configured.terms(self.conf, self.host)

    def plan(self) -> 'Plan':
        from kvm_tuning.host.prep.apply import plan
        from kvm_tuning.host.prep.kinds import table

        return plan(
            self.host,
            table.KINDS,
            self.journal,
            self.items(),
            self.terms(),
        )

    def context(self) -> 'ChangeContext':
        from kvm_tuning.host.prep.change import ChangeContext
        from kvm_tuning.host.prep.kinds import table

        return ChangeContext(
            system(self.root), table.KINDS, self.journal, self.terms()
        )


def system(root: str) -> 'System':
    """Return what writes to the host."""
    from kvm_tuning.host.access.system import System

    return System(root)


def boot_id(root: str) -> str:
    """Return what names this boot; empty where the kernel does not say."""
    from kvm_tuning.host.inventory.host import Host

    return Host(system(root).tree()).boot_id


def open_session(
    options: argparse.Namespace,
    root: str,
    private: bool = True,
    changing: bool = False,
    tolerant: bool = False,
) -> Session:
    """Return what is there now.

    :param options: the application's options.
    :param private: whether the journal is needed, which only root may read.
    :param changing: whether the host is to be changed by it.
    :param tolerant: take what can be read of a strange journal.
    """
    from kvm_tuning.host.access.sysfs import Tree
    from kvm_tuning.host.inventory.host import Host
    from kvm_tuning.host.prep import journal

    tree = Tree(root)
    record = journal.load(tree, tolerant) if private else journal.Journal()
    conf = arguments.configuration(options, root, changing)
    return Session(root, conf, Host(tree), record)


def open_for_undo(
    options: argparse.Namespace, changing: bool = False, tolerant: bool = False
) -> Session:
    """Return what is there now, with the defaults where the configuration
    is not valid: the journal says what to restore.

    :raises ConfigInvalid: a file of the configuration is somebody else's.
    """
    arguments.check_owners(options, ROOT, changing)
    try:
        session = open_session(
            options, ROOT, changing=changing, tolerant=tolerant
        )
        # Some options are understood only where they are used.
        session.terms()
    except ConfigInvalid as error:
        return with_defaults(str(error), tolerant)
    return session


def with_defaults(fault: str, tolerant: bool = False) -> Session:
    """Return a session in which nothing is configured.

    :param fault: what is wrong with the configuration.
    """
    from kvm_tuning.host import configuration
    from kvm_tuning.host.access.sysfs import Tree
    from kvm_tuning.host.inventory.host import Host
    from kvm_tuning.host.prep import journal

    tree = Tree(ROOT)
    record = journal.load(tree, tolerant)
    return Session(ROOT, configuration.defaults(), Host(tree), record, fault)


def wait(options: argparse.Namespace, root: str, seconds: float) -> Session:
    """Return a session in which all devices are there, or the last one."""
    end = time.monotonic() + seconds
    while True:
        session = open_session(options, root, changing=True)
        missing = [
            item for item in session.items() if getattr(item, 'absent', False)
        ]
        if not missing or time.monotonic() >= end:
            return session
        time.sleep(_WAIT_STEP_SECONDS)


def apply(
    options: argparse.Namespace,
    keep_going: bool,
    seconds: float = 0.0,
    patience: float = 0.0,
    unless_undone: bool = False,
) -> 'Outcome':
    """Make what is configured.

    :param keep_going: stay with what was made when something fails.
    :param seconds: wait so long for devices to appear.
    :param patience: seconds to wait for another run to end.
    :param unless_undone: do nothing where an undo was the last thing that
        was asked for in this boot.
    """
    from kvm_tuning.host.prep import undone
    from kvm_tuning.host.prep.apply import Outcome, resume
    from kvm_tuning.host.prep.apply import apply as apply_plan

    if seconds:
        wait(options, ROOT, seconds)
    with locked(patience):
        host = system(ROOT)
        if unless_undone and undone.said(host.tree()):
            return Outcome(notes=[undone.NOTE])
        session = open_session(options, ROOT, changing=True)
        undone.end(host)
        brought = resume(session.context())
        session = open_session(options, ROOT, changing=True)
        outcome = apply_plan(session.context(), session.plan(), keep_going)
    outcome.changed[:0] = brought.changed
    outcome.failed[:0] = brought.failed
    return outcome


def obstacles(options: argparse.Namespace) -> list[str]:
    """Return why an apply would not even start now, each with who must act.
    Nothing is taken or written.

    :param options: the application's options.
    """
    from kvm_tuning.host.access import locks
    from kvm_tuning.host.prep import journal

    found = []
    if os.geteuid() != 0:
        found.append('apply takes root')
    try:
        arguments.check_owners(options, ROOT, changing=True)
    except ConfigInvalid as error:
        found.append(str(error))
    try:
        if locks.held(journal.LOCK, ROOT):
            found.append(_BUSY)
    except OSError as error:
        found.append(f'/{journal.LOCK} cannot be locked: {error.strerror}')
    place = os.path.join(ROOT, os.path.dirname(journal.PATH))
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        found.append(
            f'{place} is on a read-only file system: the journal cannot be '
            f'written'
        )
    return found


def short(value: str | None) -> str | None:
    """Return a value as a cell of a table; documents have all of it."""
    if value is None or len(value) <= _CELL:
        return value
    return f'{value[: _CELL - 3]}...'


@contextlib.contextmanager
def locked(seconds: float = 0.0) -> Iterator[None]:
    """Keep others from changing the host meanwhile.

    :param seconds: wait so long for another run to end.
    :raises JournalFailed: somebody else is at it, or we may not.
    """
    from kvm_tuning.host.prep import journal

    try:
        handle = system(ROOT).lock(journal.LOCK, seconds)
    except BlockingIOError as error:
        raise JournalFailed(_BUSY) from error
    except OSError as error:
        raise JournalFailed(
            f'/{journal.LOCK} cannot be locked: {error.strerror}; this takes '
            f'root'
        ) from error
    try:
        yield
    finally:
        os.close(handle)
