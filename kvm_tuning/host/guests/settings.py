"""Makes the settings of one guest: of its VFs before it starts, of its
threads once it runs; and restores what it held when it has ended.

Each step is told as it went; one that fails does not stop the others, and
the audit shows it, too. The caller holds the lock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
import enum
import errno
from typing import Any, Protocol

from kvm_tuning.core import cpuset
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import vf_journal, vhost, virtual_functions
from kvm_tuning.host.guests.vf_journal import Entry, VfJournal

VF_ATTRIBUTE = 'vf-attribute'
THREADS = 'thread-affinity'


class Result(enum.Enum):
    """How a step went."""

    SET = 'set'
    #: It was so already.
    KEPT = 'kept'
    RESTORED = 'restored'
    #: Somebody else has changed it since: left as it is.
    FOREIGN = 'foreign'
    FAILED = 'failed'


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one setting of a guest."""

    guest: str
    kind: str
    name: str
    value: str
    result: Result
    #: What was there before, or why it failed.
    detail: str = ''


class Writer(Protocol):
    """What reads and writes the settings of guests on a host."""

    def vf(self, pf: str, index: int) -> Mapping[str, str] | None: ...

    def set_vf(self, pf: str, index: int, name: str, value: str) -> None: ...

    def set_affinity(self, tid: int, cpus: frozenset[int]) -> None: ...


class PrivilegedWriter:
    """Writes on this host, by the privileged process."""

    def vf(self, pf: str, index: int) -> Mapping[str, str] | None:
        """As :func:`virtual_functions.read`."""
        return virtual_functions.read(pf, index)

    def set_vf(self, pf: str, index: int, name: str, value: str) -> None:
        """As :func:`virtual_functions.write`."""
        self._call('set_vf_attribute', pf, index, name, value)

    def set_affinity(self, tid: int, cpus: frozenset[int]) -> None:
        """As :func:`threads.set_affinity`."""
        self._call('set_affinity', tid, sorted(cpus))

    def _call(self, name: str, *words: Any) -> None:
        """Have the privileged process do it.

        :raises OSError: it cannot be had, or could not do it.
        """
        # Imported by whoever has something to change: that takes long.
        from oslo_privsep.comm import PrivsepTimeout
        from oslo_privsep.daemon import FailedToDropPrivileges, ProtocolError

        from kvm_tuning.host.guests import privsep

        privsep.use_own_rights()
        try:
            getattr(privsep, name)(*words)
        except (
            FailedToDropPrivileges, ProtocolError, PrivsepTimeout,
        ) as error:  # fmt: skip
            raise OSError(
                errno.EPERM,
                f'[kvm_tuning_privileged] helper_command, and its filter of '
                f'rootwrap or sudo: {error}',
            ) from error


@dataclass(frozen=True, slots=True)
class Owner:
    """A guest, and which VFs it has: by PF's address and index."""

    uuid: str
    name: str
    vfs: Collection[tuple[str, int]] = ()


@dataclass(frozen=True)
class Engine:
    """Makes and restores the settings of guests."""

    writer: Writer
    system: System
    #: Where is kept what VFs had before, below the root.
    journal: str = vf_journal.PATH

    def before_start(
        self, owner: Owner, settings: Iterable[Setting]
    ) -> list[Step]:
        """Set the attributes of the guest's VFs.

        :raises JournalFailed: nothing can be put on record.
        """
        journal = VfJournal(self.system, self.journal)
        return [
            self._attribute(journal, owner, setting)
            for setting in settings
            if setting.kind == VF_ATTRIBUTE
        ]

    def after_start(
        self,
        owner: Owner,
        settings: Iterable[Setting],
        pid: int,
        root: str = '/',
    ) -> list[Step]:
        """Place the threads of the guest, which is process ``pid``."""
        return [
            self._threads(owner, setting, pid, root)
            for setting in settings
            if setting.kind == THREADS
        ]

    def restore(self, over: Callable[[Entry], bool]) -> list[Step]:
        """Give VFs back what they had before, for every entry of a guest
        that is ``over``.

        :raises JournalFailed: the journal cannot be read or written.
        """
        journal = VfJournal(self.system, self.journal)
        return [
            self._restore(journal, entry) for entry in journal if over(entry)
        ]

    def _attribute(
        self, journal: VfJournal, owner: Owner, setting: Setting
    ) -> Step:
        def step(result: Result, detail: str = '') -> Step:
            return _step(owner.name, setting, result, detail)

        try:
            pf, number, name = setting.name.split('/')
            index = int(number)
        except ValueError:
            return step(Result.FAILED, 'the receipt was edited')
        if (pf, index) not in owner.vfs:
            return step(Result.FAILED, f'the guest does not have VF {index}')
        try:
            found = self.writer.vf(pf, index)
        except OSError as error:
            return step(Result.FAILED, str(error.strerror or error))
        if found is None:
            return step(Result.FAILED, 'there is no such VF')
        if name not in found:
            return step(Result.FAILED, "the PF's driver does not tell it")
        before, known = found[name], journal.get((pf, index, name))
        if before == setting.value and known is None:
            return step(Result.KEPT)
        journal.put(
            Entry(
                owner.uuid,
                owner.name,
                pf,
                index,
                name,
                # What was there before another guest that has ended since.
                before if known is None else known.before,
                setting.value,
                journal.boot,
            )
        )
        if before == setting.value:
            return step(Result.KEPT)
        why = self._write(pf, index, name, setting.value)
        if why is not None:
            return step(Result.FAILED, why)
        return step(Result.SET, f'before: {before}')

    def _write(self, pf: str, index: int, name: str, value: str) -> str | None:
        """Write an attribute and read it back; return what went wrong."""
        try:
            self.writer.set_vf(pf, index, name, value)
            found = self.writer.vf(pf, index) or {}
        except OSError as error:
            return str(error.strerror or error)
        if found.get(name) != value:
            return f'{value} was written and {found.get(name)} is there'
        return None

    def _restore(self, journal: VfJournal, entry: Entry) -> Step:
        def step(result: Result, detail: str = '') -> Step:
            return Step(
                entry.guest,
                VF_ATTRIBUTE,
                entry.title,
                entry.before,
                result,
                detail,
            )

        try:
            found = self.writer.vf(entry.pf, entry.index)
        except OSError as error:
            return step(Result.FAILED, str(error.strerror or error))
        now = None if found is None else found.get(entry.name)
        if now == entry.wanted and now != entry.before:
            why = self._write(*entry.address, entry.before)
            if why is not None:
                return step(Result.FAILED, why)
        elif now != entry.before:
            journal.drop(entry)
            return step(Result.FOREIGN, f'{now or "nothing"} is there')
        journal.drop(entry)
        return step(Result.RESTORED)

    def _threads(
        self, owner: Owner, setting: Setting, pid: int, root: str
    ) -> Step:
        def step(result: Result, detail: str = '') -> Step:
            return _step(owner.name, setting, result, detail)

        try:
            wanted = cpuset.parse(setting.value)
        except ValueError as error:
            return step(Result.FAILED, f'the receipt was edited: {error}')
        try:
            found = vhost.vhost(pid, root)
            within = vhost.emulator(pid, root)
        except InventoryUnreadable as error:
            return step(Result.FAILED, str(error))
        if not found:
            return step(Result.FAILED, 'the guest has no vhost threads')
        if not wanted <= within:
            # A guest that came from another host, or was pinned since: its
            # receipt's pCPUs may be another guest's here.
            return step(
                Result.FAILED,
                f'the emulator may run on {cpuset.format(within)} only',
            )
        moved = []
        for thread in found:
            if thread.cpus == wanted:
                continue
            try:
                self.writer.set_affinity(thread.tid, wanted)
            except OSError as error:
                why = str(error.strerror or error)
                return step(Result.FAILED, f'thread {thread.tid}: {why}')
            moved.append(thread)
        if not moved:
            return step(Result.KEPT)
        before = {
            cpuset.format(t.cpus)
            for t in moved
            if not isinstance(t.cpus, Unknown)
        }
        return step(Result.SET, f'before: {" ".join(sorted(before))}')


def _step(guest: str, setting: Setting, result: Result, detail: str) -> Step:
    return Step(
        guest, setting.kind, setting.name, setting.value, result, detail
    )
