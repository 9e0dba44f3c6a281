"""Tell from the journal which arguments of boot entries are ours.

Ours are those that we wrote to a place and that were not there before. A
kernel that is installed later gets an entry made from ``/etc/kernel/cmdline``
or from the running kernel's arguments (kernel-install(8)), ours included: such
a copy is not in the journal until it is entered here. The first apply enters
all entries, so that a copy can be told from an operator's own arguments.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Goal, Value
from kvm_tuning.host.prep.journal import Entry, Journal, State
from kvm_tuning.host.prep.kinds import boot_entries, command_line
from kvm_tuning.host.prep.kinds.command_line import Unit

KIND = SettingKind.KERNEL_ARGUMENTS
CONCERN = 'kernel_arguments'
GONE = 'the file was removed, as with its kernel; it is not created again'
NO_ENTRIES = 'there are no boot entries at all: mount /boot and try again'
_COPY = 'made by others with our arguments'
_AS_FOUND = 'as found'


def original(tree: Tree, record: Journal, name: str, found: str) -> str:
    """Return the arguments of a file without ours."""
    entry = record.get((KIND, name))
    if entry is None:
        return _copied(tree, record, found) or found
    if entry.ours(found):
        return entry.before or ''
    return _less(found, _ours(entry))


def copies(host: Host, record: Journal) -> Iterator[Entry]:
    """Yield journal entries for files that hold our arguments and are not in
    the journal.
    """
    for name, found in _readable(host.tree):
        if record.get((KIND, name)) is None:
            before = _copied(host.tree, record, found)
            if before is not None:
                yield _entry(host, name, before, found, _COPY)


def enter(host: Host, record: Journal, goals: Iterable[Goal]) -> None:
    """Record whose the present arguments are, before any of ``goals`` is
    made.
    """
    goals = [goal for goal in goals if goal.setting.kind == KIND]
    if all(goal.reached for goal in goals) and not any(
        entry.kind == KIND for entry in record
    ):
        return
    texts = dict(_readable(host.tree))
    made = list(copies(host, record))
    known = {entry.name for entry in made}
    for goal in goals:
        name = goal.setting.name
        entry = record.get(goal.address)
        if name not in texts or name in known:
            continue
        found = texts[name]
        if entry is None and goal.reached:
            made.append(_entry(host, name, found, found, _AS_FOUND))
        elif entry is not None and not entry.ours(found):
            made.append(_anew(host, entry, found))
    for entry in made:
        record.put(entry)


def _anew(host: Host, entry: Entry, found: str) -> Entry:
    """Return the entry of a file that something else has changed since."""
    before = _less(found, _ours(entry))
    return replace(
        entry,
        before=before,
        wanted=found,
        got=found,
        via=(),
        state=State.DONE,
        boot=host.boot_id,
    )


def missing(host: Host, entry: Entry, found: Value) -> str | None:
    """Return :data:`GONE` when the entry's file was removed, and
    :data:`NO_ENTRIES` when all are missing, as when /boot is not mounted.
    """
    if entry.kind != KIND or found is not None or not _is_place(entry.name):
        return None
    if entry.name == boot_entries.CMDLINE or any(
        boot_entries.names(host.tree)
    ):
        return GONE
    return NO_ENTRIES


def _is_place(name: str) -> bool:
    return name == boot_entries.CMDLINE or boot_entries.is_entry(name)


def _readable(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield each file with its arguments."""
    try:
        for name in boot_entries.places(tree):
            found = boot_entries.read(tree, name)
            if found is not None:
                yield name, found
    except InventoryUnreadable:
        # Planning reports it.
        return


def _entry(host: Host, name: str, before: str, found: str, what: str) -> Entry:
    return Entry(
        kind=str(KIND),
        name=name,
        concern=CONCERN,
        title=f'kernel arguments in /{name} ({what})',
        before=before,
        wanted=found,
        got=found,
        via=(),
        state=State.DONE,
        volatile=False,
        boot=host.boot_id,
        place=f'/{name}',
    )


def _copied(tree: Tree, record: Journal, found: str) -> str | None:
    """Return the arguments of a copy without ours; None: it is not a copy.

    A copy holds everything that we wrote elsewhere, once and in order.
    """
    held = list(command_line.units(found))
    for entry in record:
        if not _stands(tree, entry):
            continue
        if held == list(command_line.units(entry.wanted or '')):
            return entry.before if not entry.untouched else None
        ours = list(_added(entry.wanted, entry.before))
        if ours and ours == [unit for unit in held if unit in ours]:
            return _less(found, Counter(ours))
    return None


def _stands(tree: Tree, entry: Entry) -> bool:
    """Return whether a file is as we left it, or gone: any other proves
    nothing.
    """
    if entry.kind != KIND or entry.open or not _is_place(entry.name):
        return False
    try:
        found = boot_entries.read(tree, entry.name)
    except InventoryUnreadable:
        return False
    return found is None or entry.ours(found)


def _added(wanted: Value, before: Value) -> Iterator[Unit]:
    """Yield what is in ``wanted`` and not in ``before``, in order."""
    left = Counter(command_line.units(before or ''))
    for unit in command_line.units(wanted or ''):
        if left[unit]:
            left[unit] -= 1
        else:
            yield unit


def _ours(entry: Entry) -> Counter[Unit]:
    """Return what we may have written to an entry's file."""
    found: Counter[Unit] = Counter()
    for value in (entry.wanted, entry.got, *entry.via):
        found |= Counter(_added(value, entry.before))
    return found


def _less(text: str, ours: Counter[Unit]) -> str:
    """Return ``text`` without ``ours``, each as often as we wrote it; of
    equal ones the last are removed, as ours come last.
    """
    left = Counter(command_line.units(text))
    extra = {unit: left[unit] - ours[unit] for unit in left if ours[unit]}
    if not extra:
        return text

    def gone(unit: Unit) -> bool:
        if unit not in extra:
            return False
        extra[unit] -= 1
        return extra[unit] < 0

    return command_line.edited(text, gone)
