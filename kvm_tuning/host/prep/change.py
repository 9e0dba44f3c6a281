"""Changes one setting: journal, write, read back, journal.

Whoever is killed in here leaves an entry that says what was there, what may
be there now and what should have been there.
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
from kvm_tuning.host.prep.goals import Address, Goal, Route, Terms, Value
from kvm_tuning.host.prep.journal import Entry, Journal, State
from kvm_tuning.host.prep.kinds import vf_count
from kvm_tuning.host.prep.kinds.kind import Kind

_MEANINGS = {
    errno.EACCES: 'it may not be written',
    errno.EBUSY: 'the kernel says it is in use',
    errno.EINVAL: 'the kernel does not know this value',
    errno.ENOENT: 'there is no such attribute',
    errno.ENODEV: 'the device is gone',
    errno.ENOMEM: 'there is not enough memory',
    errno.EPERM: 'the kernel does not permit it',
    errno.ERANGE: 'the value is out of range',
    errno.EROFS: 'the file system is read-only',
}


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """What a change needs: the host, the kinds, the journal, the terms."""

    system: System
    kinds: Mapping[str, Kind]
    journal: Journal
    terms: Terms
    #: Numbers of VFs of which a write did not return. The kernel may still be
    #: at it: nothing more is written there.
    hung: set[Address] = field(default_factory=set)

    def look(self) -> Host:
        """Return the host as it is now."""
        return Host(self.system.tree())

    def read(self, address: Address) -> Value:
        return self.kinds[address[0]].read(self.look(), address[1])

    def tidy(self) -> None:
        """Remove what an interrupted write of the journal has left.

        :raises JournalFailed: it cannot be; nothing has been written.
        """
        try:
            self.system.tidy(journals.PATH)
        except OSError as error:
            raise JournalFailed(
                f'what an interrupted write has left beside /{journals.PATH} '
                f'cannot be removed, so that the journal cannot be written, '
                f'and nothing is changed: {error.strerror}'
            ) from error

    def save(self) -> None:
        """Put the journal on disk.

        :raises JournalFailed: it cannot be; nothing may be written then.
        """
        try:
            self.journal.save(self.system)
        except OSError as error:
            what = 'nothing more' if self.journal.written else 'nothing'
            raise JournalFailed(
                f'the journal cannot be written, and without it {what} is '
                f'changed: {error.strerror}'
            ) from error


def make(context: ChangeContext, goal: Goal) -> bool:
    """Make a setting; return whether anything was written.

    :raises SettingRejected: it was refused, or did not become as wanted.
    """
    address, target = goal.address, goal.setting.value
    host = context.look()
    kind = context.kinds[goal.setting.kind]
    found = kind.read(host, goal.setting.name)
    entry = context.journal.get(address)
    if found == target:
        return _settle(context, entry, found)
    route = routes.find(host, context.terms, address, found, target)
    if route.refusals:
        raise SettingRejected('; '.join(map(str, route.refusals)))
    promise = Entry(
        kind=goal.setting.kind,
        name=goal.setting.name,
        concern=goal.concern,
        title=goal.label,
        before=_before(entry, host.boot_id, found),
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


def restore(context: ChangeContext, entry: Entry, target: Value) -> None:
    """Bring an entry's address back to ``target``. The entry goes when that
    is what was there before us; else it is as it was with ``target``.

    :raises SettingRejected: it was refused, or did not become as wanted.
    """
    if entry.address in context.hung:
        raise SettingRejected(f'{entry.title}: a write of it hangs')
    host = context.look()
    kind = context.kinds[entry.kind]
    found = kind.read(host, entry.name)
    if found == target:
        tidy(context, entry)
        context.journal.put(replace(entry, wanted=target))
        context.journal.close(entry.address, found)
        context.save()
        return
    route = routes.find(host, context.terms, entry.address, found, target)
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
    """Finish the entry of a write that was interrupted after it worked."""
    if entry is None or (not entry.open and entry.wanted == found):
        return False
    tidy(context, entry)
    context.journal.put(replace(entry, wanted=found))
    context.journal.close(entry.address, found)
    context.save()
    return True


def _before(entry: Entry | None, boot: str, found: Value) -> Value:
    """Return what was there that is not ours."""
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
    """Write what leads to ``target``, on the record.

    :raises SettingRejected: the host did not follow.
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
        f'{promise.title}: {_shown(target)} was written and '
        f'{_shown(got)} is there'
    )


def _companions(
    context: ChangeContext, promise: Entry, route: Route
) -> list[tuple[Entry, str]]:
    """Put what is changed meanwhile into the journal, with its own value."""
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
    try:
        kind.write(context.system, entry.name, value, route.timeout)
    except TimeoutError as error:
        raise SettingRejected(
            f'{entry.title}: writing {_shown(value)} to {entry.name} did not '
            f'return within {route.timeout:g} s; the kernel or its driver '
            f'hangs, and may still do it{_standing(context, entry)}'
        ) from error
    except ProgramMissing as error:
        raise SettingRejected(
            f'{entry.title}: {error.strerror}. Nothing of this setting has '
            f'been changed'
        ) from error
    except OSError as error:
        raise SettingRejected(
            f'{entry.title}: {_shown(value)} was refused at {entry.name} '
            f'({_code(error)}): {_meaning(error, route)}'
        ) from error


def _standing(context: ChangeContext, entry: Entry) -> str:
    """Say what stands of a number of VFs whose write hangs, and who must act.
    Another write would hang, too, and the entry has to stay open: what the
    kernel still makes of it is not known. It is nothing for anything else.
    """
    if not vf_count.holds(entry.name):
        return ''
    context.hung.add(entry.address)
    return (
        f'. There are {context.read(entry.address)} VFs now, of '
        f'{_shown(entry.wanted)} wanted; they are left so, and on record as '
        f'interrupted. The kernel log may say what the driver waits for. Once '
        f'the write has returned, run host apply or host undo; if it never '
        f'does, reboot this host first'
    )


def tidy(context: ChangeContext, entry: Entry) -> None:
    """Remove what an interrupted write of an entry may have left.

    :raises SettingRejected: it cannot be.
    """
    if not entry.open:
        return
    try:
        context.kinds[entry.kind].tidy(context.system, entry.name)
    except OSError as error:
        raise SettingRejected(
            f'{entry.title}: what an interrupted write has left cannot be '
            f'removed: {error.strerror}'
        ) from error


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, 'no code')


def _meaning(error: OSError, route: Route) -> str:
    number = error.errno or 0
    said = error.strerror or os.strerror(number)
    return route.meanings.get(number) or _MEANINGS.get(number) or said


def _shown(value: Value) -> str:
    return 'nothing' if value is None else repr(value)
