"""Plan the changes that the configuration requires, and apply them.

:func:`plan` only reads. :func:`apply` makes the changes of a plan in order;
when one fails, the changes made by this run are reverted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kvm_tuning.core.exceptions import (
    InventoryUnreadable,
    JournalFailed,
    SettingRejected,
)
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import change, routes
from kvm_tuning.host.prep.change import ChangeContext
from kvm_tuning.host.prep.goals import (
    Address,
    Goal,
    Item,
    Note,
    Refusal,
    Route,
    Terms,
    Unseen,
    Value,
)
from kvm_tuning.host.prep.journal import Entry, Journal
from kvm_tuning.host.prep.kinds import boot_record, initramfs
from kvm_tuning.host.prep.kinds.kind import Kind

#: Errors of a single setting.
FAILURES = (SettingRejected, InventoryUnreadable)


@dataclass(frozen=True, slots=True)
class Change:
    """One write of a plan."""

    goal: Goal
    route: Route
    #: The value we had set, where something else has changed it since.
    overruled: Value = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes to make on a host, and what stands in their way."""

    goals: tuple[Goal, ...] = ()
    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()
    #: What cannot be seen, so that it is not known whether it is as wanted.
    unseen: tuple[Unseen, ...] = ()
    #: Interrupted writes that no goal covers: they are reverted.
    mends: tuple[Entry, ...] = ()
    #: Settings of ours that the configuration no longer wants.
    dropped: tuple[Entry, ...] = ()


@dataclass(slots=True)
class Outcome:
    """The result of an apply or an undo."""

    #: Labels of the settings written, in order.
    changed: list[str] = field(default_factory=list)
    #: Messages of what failed or was refused.
    failed: list[str] = field(default_factory=list)
    #: Labels of the settings reverted after a failure.
    taken_back: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Those of ``failed`` that were refused before anything was written.
    refused: list[str] = field(default_factory=list)


def plan(
    host: Host,
    kinds: Mapping[str, Kind],
    record: Journal,
    items: Iterable[Item],
    terms: Terms,
) -> Plan:
    """Return the plan for the items of all groups. Nothing is written."""
    goals: list[Goal] = []
    refusals: list[Refusal] = []
    notes: list[Note] = []
    unseen: list[Unseen] = []
    for item in items:
        if isinstance(item, Goal):
            goals.append(item)
        elif isinstance(item, Refusal):
            if terms.lifts(item):
                text = f'{item.subject}: {item.reason} (allowed)'
                notes.append(Note(item.concern, text))
            else:
                refusals.append(item)
        elif isinstance(item, Note):
            notes.append(item)
        elif isinstance(item, Unseen):
            unseen.append(item)
    changes = []
    for goal in goals:
        notes += initramfs.notes(host, record.get(goal.address), goal)
        if goal.reached:
            continue
        route = routes.find(
            host, terms, goal.address, goal.found, goal.setting.value
        )
        refusals += route.refusals
        notes += route.notes
        changes.append(Change(goal, route, _overruled(record, host, goal)))
    wanted = {goal.address for goal in goals}
    # Of what cannot be seen it is not known that it is no longer wanted.
    hidden = {item.concern for item in unseen}
    others = [
        entry
        for entry in (*record, *boot_record.copies(host, record))
        if entry.address not in wanted and entry.concern not in hidden
    ]
    return Plan(
        goals=tuple(goals),
        changes=tuple(changes),
        refusals=tuple(dict.fromkeys(refusals)),
        notes=tuple(dict.fromkeys(notes)),
        unseen=tuple(dict.fromkeys(unseen)),
        mends=tuple(e for e in others if _interrupted(host, kinds, e)),
        dropped=tuple(
            entry
            for entry in others
            if not _interrupted(host, kinds, entry)
            and not _forgotten(host, kinds, entry)
        ),
    )


def _interrupted(host: Host, kinds: Mapping[str, Kind], entry: Entry) -> bool:
    """Return whether a write was interrupted, not merely short of its
    target.
    """
    if entry.kind not in kinds:
        return False
    return entry.open and not entry.fell_short(
        kinds[entry.kind].read(host, entry.name)
    )


def _forgotten(host: Host, kinds: Mapping[str, Kind], entry: Entry) -> bool:
    if entry.kind not in kinds:
        return False
    found = kinds[entry.kind].read(host, entry.name)
    return entry.forgotten(host.boot_id, found)


def resume(context: ChangeContext) -> Outcome:
    """Restore what is missing after an interruption, such as a module that
    was unloaded to be reloaded. No plan can be made before that.

    :raises JournalFailed: the journal cannot be written; nothing has been
        changed.
    """
    context.tidy()
    outcome = Outcome()
    try:
        for entry in context.journal:
            _revive(context, entry, outcome)
    except JournalFailed as error:
        stop(context, error, outcome)
    return outcome


def _revive(context: ChangeContext, entry: Entry, outcome: Outcome) -> None:
    try:
        if entry.kind not in context.kinds:
            return
        if context.kinds[entry.kind].revives and _gone(
            entry, context.read(entry.address)
        ):
            change.restore(context, entry, entry.wanted)
            outcome.changed.append(f'{entry.title} (restored)')
    except FAILURES as error:
        outcome.failed.append(str(error))


def stop(
    context: ChangeContext, error: JournalFailed, outcome: Outcome
) -> None:
    """Report the changes that remain when the journal can no longer be
    written.

    :raises JournalFailed: nothing has been changed yet.
    """
    if not context.journal.written:
        raise error
    standing = ', '.join(context.journal.standing) or 'nothing'
    outcome.failed.append(
        f'{error}. Changes of this run that remain: {standing}. They are in '
        f'the journal: undo reverts them once it can be written'
    )


def _gone(entry: Entry, found: Value) -> bool:
    return (
        entry.open
        and entry.volatile
        and found is None
        and entry.before is not None
        and entry.wanted is not None
    )


def _overruled(record: Journal, host: Host, goal: Goal) -> Value:
    entry = record.get(goal.address)
    if entry is None or entry.forgotten(host.boot_id, goal.found):
        return None
    if entry.untouched or entry.ours(goal.found) or goal.found == entry.before:
        return None
    return entry.wanted


def apply(
    context: ChangeContext, plan: Plan, keep_going: bool = False
) -> Outcome:
    """Make the changes of a plan.

    :param keep_going: make what is not refused, and keep it when something
        fails. Otherwise a refusal stops the run before the first write, and a
        failure reverts the changes of this run.
    :raises JournalFailed: the journal cannot be written; nothing has been
        changed.
    """
    context.tidy()
    outcome = Outcome(notes=list(map(str, (*plan.notes, *plan.unseen))))
    outcome.refused += [str(refusal) for refusal in plan.refusals]
    outcome.failed += outcome.refused
    if plan.refusals and not keep_going:
        return outcome
    try:
        _apply(context, plan, keep_going, outcome)
    except JournalFailed as error:
        stop(context, error, outcome)
    return outcome


def _apply(
    context: ChangeContext, plan: Plan, keep_going: bool, outcome: Outcome
) -> None:
    for entry in plan.mends:
        _mend(context, entry, outcome)
    boot_record.enter(context.look(), context.journal, plan.goals)
    made: list[tuple[Goal, Value]] = []
    refused = {c.goal.address for c in plan.changes if c.route.refusals}
    for goal in plan.goals:
        if goal.address in refused:
            continue
        touched = made
        try:
            found = context.read(goal.address)
            touched = [*made, (goal, found)]
            if change.make(context, goal):
                made = touched
                outcome.changed.append(goal.label)
        except FAILURES as error:
            if goal.optional and isinstance(error, SettingRejected):
                outcome.notes.append(str(error))
                _leave(context, goal, found, outcome)
                continue
            outcome.failed.append(str(error))
            if keep_going:
                continue
            _take_back(context, touched, outcome)
            break
    context.save()


def _mend(context: ChangeContext, entry: Entry, outcome: Outcome) -> None:
    """Revert an interrupted write that is no longer wanted."""
    try:
        found = context.read(entry.address)
        host = context.look()
        if (
            entry.forgotten(host.boot_id, found)
            or not entry.ours(found)
            or boot_record.missing(host, entry, found) == boot_record.GONE
        ):
            context.journal.drop(entry.address)
            context.save()
            return
        change.restore(context, entry, entry.before)
        outcome.changed.append(f'{entry.title} (interrupted, reverted)')
    except FAILURES as error:
        outcome.failed.append(str(error))


def _leave(
    context: ChangeContext, goal: Goal, found: Value, outcome: Outcome
) -> None:
    """Drop the entry of an optional setting that the kernel refused."""
    entry = context.journal.get(goal.address)
    if entry is None or not entry.open:
        return
    try:
        now = context.read(goal.address)
    except InventoryUnreadable as error:
        # Its entry stays: the present value is not known.
        outcome.failed.append(str(error))
        return
    if now == found:
        context.journal.put(replace(entry, wanted=found))
        context.journal.close(goal.address, found)
        context.save()


def _take_back(
    context: ChangeContext, made: list[tuple[Goal, Value]], outcome: Outcome
) -> None:
    for goal, found in reversed(made):
        entry = context.journal.get(goal.address)
        if entry is None:
            continue
        try:
            change.restore(context, entry, found)
        except FAILURES as error:
            outcome.failed.append(f'could not be reverted: {error}')
            continue
        outcome.taken_back.append(goal.label)
        if goal.label in outcome.changed:
            outcome.changed.remove(goal.label)


def addresses(plan: Plan) -> frozenset[Address]:
    """Return the addresses of all goals."""
    return frozenset(goal.address for goal in plan.goals)
