"""Change one setting: journal, write, read back, journal.

A run that is killed here leaves an entry with the value before, the values
that may be there now, and the target.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import errno
import os

from kvm_tuning.core.exceptions import JournalFailed, SettingRejected
from kvm_tuning.host.access.programs import ProgramMissing
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import journal as journals
from kvm_tuning.host.prep import routes
from kvm_tuning.host.prep.goals import (
    Address,
    Goal,
    Route,
    Terms,
    Value,
    settled,
)
from kvm_tuning.host.prep.journal import Entry, Journal, State
from kvm_tuning.host.prep.kinds import vf_count
from kvm_tuning.host.prep.kinds.kind import ALL_DEVICES, Kind

_MEANINGS = {
    errno.EACCES: 'writing it is not allowed',
    errno.EBUSY: 'it is in use',
    errno.EINVAL: 'the kernel does not accept this value',
    errno.ENOENT: 'the attribute does not exist',
    errno.ENODEV: 'the device is gone',
    errno.ENOMEM: 'there is not enough memory',
    errno.EPERM: 'the kernel does not allow it',
    errno.ERANGE: 'the value is out of range',
    errno.EROFS: 'the file system is read-only',
}


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """What every change needs: host, kinds, journal, terms."""

    system: System
    kinds: Mapping[str, Kind]
    journal: Journal
    terms: Terms
    #: Addresses of VF counts whose write did not return. The kernel may still
    #: be busy with them, so they are not written again.
    hung: set[Address] = field(default_factory=set)
    #: The last host seen, whose inventory serves the whole run.
    _seen: list[Host] = field(default_factory=list)
    #: The devices whose inventory writes of this run have made stale.
    _stale: set[str] = field(default_factory=set)

    def look(self, address: Address | None = None) -> Host:
        """Return the host as it is now. Files are always read again; the
        inventory only where a write has changed devices of ``address``.
        """
        tree = self.system.tree()
        devices = '' if address is None else self._devices(address)
        if devices in self._stale:
            # Those of a PF that has been written; others' are as before.
            return Host(tree)
        if devices and ALL_DEVICES in (devices, *self._stale) and self._stale:
            self._seen.clear()
            self._stale.clear()
        host = self._seen.pop().again(tree) if self._seen else Host(tree)
        self._seen.append(host)
        return host

    def _devices(self, address: Address) -> str:
        return self.kinds[address[0]].devices(address[1])

    def read(self, address: Address) -> Value:
        return self.kinds[address[0]].read(self.look(address), address[1])

    def wrote(self, address: Address) -> None:
        """Note that an address may have been written."""
        devices = self._devices(address)
        if devices:
            self._stale.add(devices)

    def tidy(self) -> None:
        """Remove what an interrupted write of the journal has left.

        :raises JournalFailed: it cannot be removed; nothing has been changed.
        """
        try:
            self.system.tidy(journals.PATH)
        except OSError as error:
            raise JournalFailed(
                f'the unfinished file next to /{journals.PATH}, left by an '
                f'interrupted write, cannot be removed: {error.strerror}; '
                f'the journal cannot be written, so nothing is changed'
            ) from error

    def save(self) -> None:
        """Write the journal to disk.

        :raises JournalFailed: it cannot be written; nothing may be changed
            then.
        """
        try:
            self.journal.save(self.system)
        except OSError as error:
            what = 'nothing more' if self.journal.written else 'nothing'
            raise JournalFailed(
                f'the journal cannot be written, so {what} is changed: '
                f'{error.strerror}'
            ) from error


def make(context: ChangeContext, goal: Goal) -> bool:
    """Make a setting; return whether anything was written.

    :raises SettingRejected: it was refused, or did not get its value.
    """
    address, target = goal.address, goal.setting.value
    host = context.look(address)
    kind = context.kinds[goal.setting.kind]
    found = kind.read(host, goal.setting.name)
    entry = context.journal.get(address)
    if found == target:
        return _settle(context, entry, found)
    route = routes.find(host, context.terms, address, found, target)
    if route.refusals:
        raise SettingRejected('; '.join(map(str, route.refusals)))
    promise = Entry(
        kind=address[0],
        name=goal.setting.name,
        concern=goal.concern,
        title=goal.label,
        before=settled(_before(entry, host.boot_id, found)),
        wanted=target,
        got=None,
        via=_via(entry, found, route, kind.between(found, target)),
        state=State.WRITING,
        volatile=kind.volatile,
        boot=host.boot_id,
        place=kind.place(goal.setting.name),
    )
    _move(context, promise, target, route)
    return True


def restore(
    context: ChangeContext,
    entry: Entry,
    target: Value,
    known: Route | None = None,
) -> None:
    """Set an entry's address back to ``target``.

    The entry is dropped when that is the value before our first change, and
    otherwise kept with ``target``.

    :param known: the route, where it has just been found.
    :raises SettingRejected: it was refused, or did not get its value.
    """
    if entry.address in context.hung:
        raise SettingRejected(f'{entry.title}: an earlier write of it hangs')
    host = context.look(entry.address)
    kind = context.kinds[entry.kind]
    found = kind.read(host, entry.name)
    if found == target:
        tidy(context, entry)
        context.journal.put(replace(entry, wanted=target))
        context.journal.close(entry.address, found)
        context.save()
        return
    route = known or routes.find(
        host, context.terms, entry.address, found, target
    )
    if route.refusals:
        raise SettingRejected('; '.join(map(str, route.refusals)))
    via = {v for v in (found, entry.wanted, entry.got) if v is not None}
    via.update(kind.between(found, target))
    promise = replace(
        entry,
        wanted=target,
        via=tuple(sorted(via.union(route.via, entry.via))),
        state=State.UNDOING,
    )
    _move(context, promise, target, route)


def _settle(context: ChangeContext, entry: Entry | None, found: Value) -> bool:
    """Close the entry of a write that succeeded and was then interrupted."""
    if entry is None or (not entry.open and entry.wanted == found):
        return False
    tidy(context, entry)
    context.journal.put(replace(entry, wanted=found))
    context.journal.close(entry.address, found)
    context.save()
    return True


def _before(entry: Entry | None, boot: str, found: Value) -> Value:
    """Return the last value that is not of our making."""
    if entry is None or entry.forgotten(boot, found):
        return found
    return entry.before if entry.ours(found) else found


def _via(
    entry: Entry | None,
    found: Value,
    route: Route,
    between: tuple[str, ...],
) -> tuple[str, ...]:
    values = {*route.via, *between}
    if found is not None:
        values.add(found)
    if entry is not None and entry.open:
        values.update(entry.via)
    return tuple(sorted(values))


def _move(
    context: ChangeContext, promise: Entry, target: Value, route: Route
) -> None:
    """Write the values that lead to ``target``, journalled.

    :raises SettingRejected: a write failed or had another result.
    """
    helpers = _companions(context, promise, route)
    context.journal.put(promise)
    context.save()
    try:
        for helper, during in helpers:
            _write(context, helper, during, route)
        for value in route.via:
            _write(context, promise, value, route)
        _write(context, promise, target, route)
    finally:
        for helper, _during in helpers:
            _write(context, helper, helper.wanted, route)
            context.journal.close(helper.address, context.read(helper.address))
    got = context.read(promise.address)
    if got == target:
        context.journal.close(promise.address, got)
        context.save()
        return
    context.journal.put(replace(promise, got=got))
    context.save()
    raise SettingRejected(
        f'{promise.title}: wrote {_shown(target)}, read back {_shown(got)}'
    )


def _companions(
    context: ChangeContext, promise: Entry, route: Route
) -> list[tuple[Entry, str]]:
    """Journal the addresses that are changed during the write, each with
    its own value.
    """
    found = []
    for companion in route.companions:
        kind, name = companion.address
        own = context.read(companion.address)
        known = context.journal.get(companion.address)
        if known is not None and known.open:
            own = known.wanted
        entry = replace(
            promise,
            kind=kind,
            name=name,
            title=name,
            before=own if known is None else known.before,
            wanted=own,
            got=None,
            via=(companion.during,),
            state=State.WRITING,
            volatile=context.kinds[kind].volatile,
        )
        context.journal.put(entry)
        found.append((entry, companion.during))
    return found


def _write(
    context: ChangeContext, entry: Entry, value: Value, route: Route
) -> None:
    kind = context.kinds[entry.kind]
    context.wrote(entry.address)
    try:
        kind.write(context.system, entry.name, value, route.timeout)
    except TimeoutError as error:
        raise SettingRejected(
            f'{entry.title}: writing {_shown(value)} to {entry.name} did not '
            f'return within {route.timeout:g} s; the kernel or the driver '
            f'hangs and may still complete it{_standing(context, entry)}'
        ) from error
    except ProgramMissing as error:
        raise SettingRejected(
            f'{entry.title}: {error.strerror}. This setting has not been '
            f'changed'
        ) from error
    except OSError as error:
        raise SettingRejected(
            f'{entry.title}: {_shown(value)} was refused at {entry.name} '
            f'({_code(error)}): {_meaning(error, route)}'
        ) from error


def _standing(context: ChangeContext, entry: Entry) -> str:
    """Describe a VF count whose write hangs; '' for any other setting.

    Another write would hang too, and the entry stays open: what the kernel
    will make of it is not known.
    """
    if not vf_count.holds(entry.name):
        return ''
    context.hung.add(entry.address)
    return (
        f'. There are {context.read(entry.address)} VFs now, and '
        f'{_shown(entry.wanted)} are wanted; they are left as they are, and '
        f'journalled as interrupted. The kernel log may show what the driver '
        f'waits for. Once the write has returned, run host apply or host '
        f'undo; if it never returns, reboot this host first'
    )


def tidy(context: ChangeContext, entry: Entry) -> None:
    """Remove what an interrupted write of an entry may have left.

    :raises SettingRejected: it cannot be removed.
    """
    if not entry.open:
        return
    try:
        context.kinds[entry.kind].tidy(context.system, entry.name)
    except OSError as error:
        raise SettingRejected(
            f'{entry.title}: the unfinished file of an interrupted write '
            f'cannot be removed: {error.strerror}'
        ) from error


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, 'no code')


def _meaning(error: OSError, route: Route) -> str:
    number = error.errno or 0
    said = error.strerror or os.strerror(number)
    return route.meanings.get(number) or _MEANINGS.get(number) or said


def _shown(value: Value) -> str:
    return 'nothing' if value is None else repr(value)
