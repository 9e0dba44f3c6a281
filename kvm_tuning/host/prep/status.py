"""Report each setting: wanted, running, persisted, at the next boot."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import rivals
from kvm_tuning.host.prep.goals import Goal, Item, Refusal, Unseen, Value
from kvm_tuning.host.prep.journal import Entry, Journal
from kvm_tuning.host.prep.kinds import boot_record, initramfs, services
from kvm_tuning.host.prep.kinds.kind import UNIT, Kind

#: Values of :attr:`Row.state`; AS_WANTED, OPTIONAL and DROPPED are no drift.
AS_WANTED = 'as wanted'
OPTIONAL = 'not possible'
LATER = 'waits'
DRIFT = 'differs'
OVERRULED = 'changed by others'
INTERRUPTED = 'interrupted'
REFUSED = 'refused'
UNSEEN = 'unseen'
DROPPED = 'no longer wanted'

READY_IGNORES = 'the ready gate ignores it'
NOT_APPLIED = 'not applied yet'

#: Where a setting is kept, and its name: a line in a file and the running
#: kernel's value share both.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One setting."""

    concern: str
    setting: str
    wanted: Value
    running: Value
    #: Where it is kept across a reboot; None: nowhere.
    persisted: Value
    #: The value at the next boot; None: the kernel's default.
    next_boot: Value
    state: str
    #: A remark: why it waits, what the value was before.
    remark: str
    others: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        return self.state not in (AS_WANTED, OPTIONAL, DROPPED)


def rows(
    host: Host,
    kinds: Mapping[str, Kind],
    journal: Journal,
    items: Iterable[Item],
) -> list[Row]:
    """Return a row for each setting that is wanted or in the journal.
    Nothing is written.
    """
    found = []
    addresses = set()
    items = list(items)
    keepers = _keepers(host, kinds, items)
    for item in items:
        if isinstance(item, Goal):
            addresses.add(item.address)
            entry = journal.get(item.address)
            found.append(
                _goal(host, kinds, entry, item, keepers, len(journal) > 0)
            )
        elif isinstance(item, Refusal):
            found.append(
                Row(
                    item.concern,
                    item.subject,
                    None,
                    None,
                    None,
                    None,
                    REFUSED,
                    item.reason,
                )
            )
    found += [_unseen(item) for item in items if isinstance(item, Unseen)]
    hidden = {row.concern for row in found if row.state == UNSEEN}
    for entry in (*journal, *boot_record.copies(host, journal)):
        if entry.address not in addresses and entry.concern not in hidden:
            found += _entry(host, kinds, entry)
    return found


def _unseen(item: Unseen) -> Row:
    return Row(
        item.concern,
        item.subject,
        item.wanted,
        item.running,
        None,
        None,
        UNSEEN,
        item.reason,
    )


def ignored(rows: Iterable[Row], words: Container[str]) -> list[Row]:
    """Return the rows, with a remark on those that the ready gate ignores.

    :param words: those of the option ``ready_ignores``.
    """
    return [
        replace(
            row, remark='; '.join(filter(None, (row.remark, READY_IGNORES)))
        )
        if row.drifted
        and (row.concern in words or (row.state == UNSEEN and UNSEEN in words))
        else row
        for row in rows
    ]


def _keepers(
    host: Host, kinds: Mapping[str, Kind], items: Iterable[Item]
) -> dict[Key, str]:
    """Return what makes each volatile setting at boot: a file that holds it,
    or our unit where it is enabled.
    """
    keepers = {}
    goals = [item for item in items if isinstance(item, Goal)]
    if services.enabled(host.tree, UNIT):
        for goal in goals:
            keepers[_key(kinds, goal)] = UNIT
    for goal in goals:
        if goal.reached and not kinds[goal.setting.kind].volatile:
            key = _key(kinds, goal)
            keepers[key] = key[0]
    return keepers


def _key(kinds: Mapping[str, Kind], goal: Goal) -> Key:
    return kinds[goal.setting.kind].place(goal.setting.name), goal.setting.name


def _goal(
    host: Host,
    kinds: Mapping[str, Kind],
    entry: Entry | None,
    goal: Goal,
    keepers: Mapping[Key, str],
    applied: bool,
) -> Row:
    kind = kinds[goal.setting.kind]
    wanted = goal.setting.value
    persisted: Value = None
    next_boot: Value = None
    if kind.volatile:
        persisted = keepers.get(_key(kinds, goal))
        if persisted is not None:
            next_boot = wanted
    elif goal.found is not None:
        next_boot = goal.found
        if goal.reached:
            persisted = kind.place(goal.setting.name)
    state, remark = _judge(host, entry, goal)
    if goal.optional and state == DRIFT and applied:
        state, remark = OPTIONAL, 'the kernel does not let it be changed'
    if goal.reached:
        more = initramfs.notes(host, entry, goal)
        remark = '; '.join(filter(None, (remark, *(n.text for n in more))))
    return Row(
        goal.concern,
        goal.label,
        wanted,
        goal.running_value,
        persisted,
        next_boot,
        state,
        remark,
        tuple(rivals.find(host, goal)),
    )


def _judge(host: Host, entry: Entry | None, goal: Goal) -> tuple[str, str]:
    if entry is not None and entry.open:
        if entry.fell_short(goal.found):
            return DRIFT, f'the kernel gave only {_shown(entry.got)}'
        return INTERRUPTED, (
            f'{entry.state.value} {_shown(entry.wanted)} was interrupted; it '
            f'was {_shown(entry.before)} before; apply or undo repairs it'
        )
    if goal.reached and goal.in_force:
        return AS_WANTED, ''
    if goal.reached and goal.shortfall:
        return DRIFT, goal.shortfall
    if goal.reached:
        return LATER, f'takes effect {goal.when.value}'
    if (
        entry is None
        or entry.untouched
        or entry.forgotten(host.boot_id, goal.found)
    ):
        return DRIFT, NOT_APPLIED
    if entry.wanted != entry.got and goal.found == entry.got:
        return DRIFT, f'the kernel gave only {_shown(entry.got)}'
    if entry.ours(goal.found):
        return DRIFT, f'we had set {_shown(entry.wanted)}'
    return OVERRULED, (
        f'we had set {_shown(entry.wanted)}; something else has set '
        f'{_shown(goal.found)} since'
    )


def _entry(
    host: Host, kinds: Mapping[str, Kind], entry: Entry
) -> Iterator[Row]:
    """Yield the row of a setting in the journal that is not wanted; none
    where a reboot has undone it, as of a disk that had the name before.
    """
    if entry.kind not in kinds:
        yield Row(
            entry.concern,
            entry.title,
            None,
            None,
            None,
            None,
            REFUSED,
            f'this version does not know the kind {entry.kind!a}',
        )
        return
    kind = kinds[entry.kind]
    found = kind.read(host, entry.name)
    if entry.forgotten(host.boot_id, found):
        return
    state, remark = DROPPED, f'it was {_shown(entry.before)} before'
    missing = boot_record.missing(host, entry, found)
    if missing is not None:
        remark = missing
    if entry.fell_short(found):
        remark = f'the kernel gave only {_shown(entry.got)}; {remark}'
    elif entry.open:
        state = INTERRUPTED
        remark = (
            f'{entry.state.value} {_shown(entry.wanted)} was interrupted; '
            f'{remark}; apply or undo repairs it'
        )
    yield Row(
        entry.concern,
        entry.title,
        None,
        found,
        None if kind.volatile else entry.place,
        None if kind.volatile else found,
        state,
        remark,
    )


def _shown(value: Value) -> str:
    return 'nothing' if value is None else repr(value)
