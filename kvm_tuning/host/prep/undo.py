"""Undo the changes in the journal, last change first.

A value that something else has changed since is left alone and reported.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kvm_tuning.core.exceptions import InventoryUnreadable, JournalFailed
from kvm_tuning.host.prep import change, routes
from kvm_tuning.host.prep.apply import FAILURES, Outcome, stop
from kvm_tuning.host.prep.change import ChangeContext
from kvm_tuning.host.prep.goals import Route, Value
from kvm_tuning.host.prep.journal import Entry
from kvm_tuning.host.prep.kinds import boot_record, initramfs


@dataclass(frozen=True, slots=True)
class Step:
    """What undo does with one entry."""

    entry: Entry
    found: Value
    #: ``restore``, ``forget`` (nothing is left to restore) or ``refuse``.
    action: str
    reason: str
    #: How it is restored.
    route: Route | None = None


def plan(
    context: ChangeContext,
    chosen: Callable[[Entry], bool] = lambda entry: True,
) -> tuple[Step, ...]:
    """Return the steps of an undo, in order. Nothing is written."""
    found = boot_record.copies(context.look(), context.journal)
    entries = [entry for entry in (*context.journal, *found) if chosen(entry)]
    return tuple(_seen(context, entry) for entry in reversed(entries))


def _seen(context: ChangeContext, entry: Entry) -> Step:
    """Return the step of an entry: a refusal where it cannot be read."""
    try:
        return _step(context, entry)
    except InventoryUnreadable as error:
        return Step(entry, None, 'refuse', str(error))


def _step(context: ChangeContext, entry: Entry) -> Step:
    if entry.kind not in context.kinds:
        return Step(entry, None, 'refuse', unknown(entry))
    host = context.look(entry.address)
    kind = context.kinds[entry.kind]
    found = kind.read(host, entry.name)
    if found == entry.before:
        return Step(entry, found, 'forget', 'it has its former value')
    missing = boot_record.missing(host, entry, found)
    if missing is not None:
        if missing == boot_record.GONE:
            return Step(entry, found, 'forget', missing)
        return Step(entry, found, 'refuse', f'{entry.title}: {missing}')
    if entry.untouched:
        return Step(entry, found, 'forget', 'we did not change it')
    if entry.forgotten(host.boot_id, found):
        return Step(entry, found, 'forget', 'a reboot has undone it')
    if found is None and entry.volatile and not (kind.revives and entry.open):
        return Step(entry, found, 'forget', 'the device is gone')
    if not entry.ours(found):
        return Step(
            entry,
            found,
            'refuse',
            f'{entry.title}: something else has changed it since: we set '
            f'{entry.wanted!r} and found {found!r}; it was '
            f'{entry.before!r} before. It is left as it is',
        )
    route = routes.find(
        host, context.terms, entry.address, found, entry.before
    )
    if route.refusals:
        return Step(
            entry, found, 'refuse', '; '.join(map(str, route.refusals))
        )
    return Step(entry, found, 'restore', '', route)


def unknown(entry: Entry) -> str:
    """Return why nothing is done about an entry of an unknown kind."""
    return (
        f'{entry.title}: this version does not know settings of the kind '
        f'{entry.kind!a}; the version that made it can undo it'
    )


def undo(
    context: ChangeContext,
    chosen: Callable[[Entry], bool] = lambda entry: True,
) -> Outcome:
    """Restore what can be restored; the rest stays in the journal.

    :raises JournalFailed: the journal cannot be written; nothing has been
        changed.
    """
    context.tidy()
    outcome = Outcome()
    for each in context.journal.strange:
        text = f'the journal has what this version cannot undo: {each}'
        outcome.refused.append(text)
        outcome.failed.append(text)
    for entry in tuple(boot_record.copies(context.look(), context.journal)):
        context.journal.put(entry)
    entries = [entry for entry in context.journal if chosen(entry)]
    try:
        for entry in reversed(entries):
            _undo(context, entry, outcome)
        context.save()
    except JournalFailed as error:
        stop(context, error, outcome)
    return outcome


def _undo(context: ChangeContext, entry: Entry, outcome: Outcome) -> None:
    try:
        step = _step(context, entry)
        if step.action == 'refuse':
            outcome.refused.append(step.reason)
            outcome.failed.append(step.reason)
        elif step.action == 'restore':
            change.restore(context, entry, entry.before, step.route)
            outcome.changed.append(entry.title)
            host = context.look(entry.address)
            notes = initramfs.undone(host, entry)
            outcome.notes += map(str, notes)
        else:
            _forget(context, step, outcome)
    except FAILURES as error:
        outcome.failed.append(str(error))


def _forget(context: ChangeContext, step: Step, outcome: Outcome) -> None:
    change.tidy(context, step.entry)
    context.journal.drop(step.entry.address)
    context.save()
    if step.found != step.entry.before:
        outcome.notes.append(f'{step.entry.title}: {step.reason}')
