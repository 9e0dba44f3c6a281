"""Apply and restore the settings of a guest outside its definition.

Its VFs are set before it starts and its threads once it runs; when it has
ended, the VFs are restored. Every step is reported; one that fails does not
stop the others, and the audit shows it as well. The caller holds the lock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
import enum
import errno
from typing import Any, Protocol

from kvm_tuning.core import cpuset
from kvm_tuning.core.effects import Setting, SettingKind
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Unknown
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import vf_journal, vhost, virtual_functions
from kvm_tuning.host.guests.vf_journal import Address, Entry, VfJournal

VF_ATTRIBUTE = SettingKind.VF_ATTRIBUTE
THREADS = SettingKind.THREAD_AFFINITY
_SHOWN = 60


class Result(enum.Enum):
    """The result of a step."""

    SET = 'set'
    #: It had the value already.
    KEPT = 'kept'
    RESTORED = 'restored'
    #: Something else has changed it since: it is left as it is.
    FOREIGN = 'foreign'
    FAILED = 'failed'


@dataclass(frozen=True, slots=True)
class Step:
    """One setting of a guest, and the result."""

    guest: str
    kind: str
    name: str
    value: str
    result: Result
    #: The value before, or why it failed.
    detail: str = ''


class Writer(Protocol):
    """What reads and writes the settings of guests on a host."""

    def vf(self, pf: str, index: int) -> Mapping[str, str] | None: ...

    def set_vf(
        self, owner: 'Owner', pf: str, index: int, name: str, value: str
    ) -> None: ...

    def set_affinity(
        self, owner: 'Owner', tid: int, cpus: frozenset[int]
    ) -> None: ...


class PrivilegedWriter:
    """Writes on this host, by the privileged process."""

    def vf(self, pf: str, index: int) -> Mapping[str, str] | None:
        """As :func:`virtual_functions.read`."""
        return virtual_functions.read(pf, index)

    def set_vf(
        self, owner: 'Owner', pf: str, index: int, name: str, value: str
    ) -> None:
        """As :func:`privsep.set_vf_attribute`."""
        self._call('set_vf_attribute', owner.uuid, pf, index, name, value)

    def set_affinity(
        self, owner: 'Owner', tid: int, cpus: frozenset[int]
    ) -> None:
        """As :func:`privsep.set_affinity`."""
        self._call('set_affinity', owner.uuid, owner.name, tid, sorted(cpus))

    def _call(self, name: str, *words: Any) -> None:
        """Call a function in the privileged process.

        :raises OSError: the process cannot be started, or the call failed.
        """
        # Imported only where there is something to change: it is slow.
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
    """A guest and its VFs, each by its PF's address and its index."""

    uuid: str
    name: str
    vfs: Collection[tuple[str, int]] = ()


@dataclass(frozen=True)
class Engine:
    """Applies and restores the settings of guests."""

    writer: Writer
    system: System
    #: The journal of VFs, below the root.
    journal: str = vf_journal.PATH

    def before_start(
        self, owner: Owner, settings: Iterable[Setting]
    ) -> list[Step]:
        """Set the attributes of the guest's VFs.

        :raises JournalFailed: the journal cannot be read or written.
        """
        journal = vf_journal.load(self.system.tree(), self.journal)
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
        """Pin the threads of the guest, whose process is ``pid``."""
        return [
            self._threads(owner, setting, pid, root)
            for setting in settings
            if setting.kind == THREADS
        ]

    def restore(self, over: Callable[[Entry], bool]) -> list[Step]:
        """Restore VFs to what they were, for every entry that is ``over``.

        :raises JournalFailed: the journal cannot be read or written.
        """
        journal = vf_journal.load(self.system.tree(), self.journal)
        strange = [
            Step(
                '',
                VF_ATTRIBUTE,
                repr(raw)[:_SHOWN],
                '',
                Result.FAILED,
                f'/{self.journal} has an entry that cannot be read: nothing '
                f'is restored for it',
            )
            for raw in journal.strange
        ]
        return strange + [
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
            return step(Result.FAILED, 'the receipt was edited by hand')
        if (pf, index) not in owner.vfs:
            return step(Result.FAILED, f'the guest does not have VF {index}')
        try:
            found = self.writer.vf(pf, index)
        except OSError as error:
            return step(Result.FAILED, str(error.strerror or error))
        if found is None:
            return step(Result.FAILED, f'PF {pf} has no VF {index}')
        if name not in found:
            return step(Result.FAILED, "the PF's driver does not report it")
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
                # The value before another guest that has ended since.
                before if known is None else known.before,
                setting.value,
                journal.boot,
            )
        )
        journal.save(self.system)
        if before == setting.value:
            return step(Result.KEPT)
        why = self._write(owner, (pf, index, name), setting.value)
        if why is not None:
            return step(Result.FAILED, why)
        return step(Result.SET, f'before: {before}')

    def _write(self, owner: Owner, address: Address, value: str) -> str | None:
        """Write an attribute and read it back; return what went wrong."""
        pf, index, name = address
        try:
            self.writer.set_vf(owner, pf, index, name, value)
            found = self.writer.vf(pf, index) or {}
        except OSError as error:
            return str(error.strerror or error)
        if found.get(name) != value:
            return f'wrote {value} and read back {found.get(name)}'
        return None

    def _drop(self, journal: VfJournal, entry: Entry) -> None:
        journal.drop(entry.address)
        journal.save(self.system)

    def _restore(self, journal: VfJournal, entry: Entry) -> Step:
        def step(result: Result, detail: str = '') -> Step:
            return Step(
                entry.guest,
                str(VF_ATTRIBUTE),
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
            owner = Owner(entry.owner, entry.guest)
            why = self._write(owner, entry.address, entry.before)
            if why is not None:
                return step(Result.FAILED, why)
        elif now != entry.before:
            self._drop(journal, entry)
            return step(Result.FOREIGN, f'found {now or "nothing"}')
        self._drop(journal, entry)
        return step(Result.RESTORED)

    def _threads(
        self, owner: Owner, setting: Setting, pid: int, root: str
    ) -> Step:
        def step(result: Result, detail: str = '') -> Step:
            return _step(owner.name, setting, result, detail)

        try:
            wanted = cpuset.parse(setting.value)
        except ValueError as error:
            return step(
                Result.FAILED, f'the receipt was edited by hand: {error}'
            )
        try:
            found = vhost.vhost(pid, root)
            within = vhost.emulator(pid, root)
        except InventoryUnreadable as error:
            return step(Result.FAILED, str(error))
        if not found:
            return step(Result.FAILED, 'the guest has no vhost threads')
        if not wanted <= within:
            # The guest came from another host, or was pinned since: the pCPUs
            # in its receipt may be another guest's here.
            return step(
                Result.FAILED,
                f'the emulator may run on {cpuset.format(within)} only',
            )
        moved = []
        for thread in found:
            if thread.cpus == wanted:
                continue
            try:
                self.writer.set_affinity(owner, thread.tid, wanted)
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
        guest, str(setting.kind), setting.name, setting.value, result, detail
    )
