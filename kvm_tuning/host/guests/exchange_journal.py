"""Record exchanges of pCPUs between running guests: the open one, and those
that are over.

The open one is on disk before the first thread moves, and says of each guest
where it was and where it goes, so that whoever comes next can finish it or
take it back. Whoever writes holds the lock of the guests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import json
from typing import Any

from kvm_tuning.core import cpuset
from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access import owned
from kvm_tuning.host.access.sysfs import LARGE_BYTES
from kvm_tuning.host.access.system import System

#: Below the root; nova-compute has a folder of its own.
FOLDER = 'var/lib/kvm-tuning'
NAME, HISTORY_NAME = 'rebalance.json', 'rebalance-history.json'
PATH, HISTORY = f'{FOLDER}/{NAME}', f'{FOLDER}/{HISTORY_NAME}'
VERSION = 1
#: Exchanges that the history keeps.
MOST = 20

#: What becomes of a guest's receipt; and what, on the way back.
KEPT, ADDED, REMOVED, NONE = 'kept', 'added', 'removed', 'none'
_BACK = {KEPT: KEPT, ADDED: REMOVED, REMOVED: ADDED, NONE: NONE}

Cpus = frozenset[int]
#: Before and after.
Pair = tuple[Cpus, Cpus]


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest of an exchange."""

    uuid: str
    name: str
    #: The pCPU of each dedicated vCPU.
    before: Mapping[int, int]
    after: Mapping[int, int]
    #: Each pCPU that it held, and the one instead of it.
    mapped: Mapping[int, int]
    receipt: str = KEPT
    #: Where its emulator may run; None: that stays as it is.
    emulator: Pair | None = None
    #: Where those of its iothreads may run that follow.
    iothreads: Mapping[int, Pair] = field(default_factory=dict)

    def back(self) -> 'Guest':
        """Return the same on the way back."""
        return replace(
            self,
            before=self.after,
            after=self.before,
            mapped={new: old for old, new in self.mapped.items()},
            receipt=_BACK[self.receipt],
            emulator=self.emulator and self.emulator[::-1],
            iothreads={n: pair[::-1] for n, pair in self.iothreads.items()},
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The pCPUs among which vCPUs are exchanged."""

    cpus: Cpus
    #: Those that a thread could wait on.
    free: Cpus


@dataclass(frozen=True, slots=True)
class Exchange:
    """All guests that move at once."""

    guests: tuple[Guest, ...]
    groups: tuple[Group, ...]
    #: When it began, in ISO 8601.
    when: str
    #: ``rebalance`` or ``undo``.
    kind: str = 'rebalance'
    #: Figures, for people.
    figures: Mapping[str, Any] = field(default_factory=dict)
    undone: bool = False
    #: When that began which an undo takes back.
    undoes: str = ''

    def back(self) -> 'Exchange':
        """Return the exchange that takes it back."""
        return replace(self, guests=tuple(g.back() for g in self.guests))


def load(system: System, folder: str = FOLDER) -> Exchange | None:
    """Return the open exchange; None: there is none.

    :param folder: of the journal, below the root.

    :raises JournalFailed: it cannot be read.
    """
    path = f'{folder}/{NAME}'
    document = _read(system, path)
    return (
        None if document is None else _parsed(path, document.get('exchange'))
    )


def history(system: System, folder: str = FOLDER) -> list[Exchange]:
    """Return the exchanges that are over, the oldest first.

    :raises JournalFailed: they cannot be read.
    """
    path = f'{folder}/{HISTORY_NAME}'
    document = _read(system, path)
    if document is None:
        return []
    raws = document.get('exchanges')
    if not isinstance(raws, list):
        raise _strange(path, TypeError('it has no list of exchanges'))
    return [_parsed(path, raw) for raw in raws]


def check_closed(root: str, guest: str | None = None) -> None:
    """See that no exchange of this guest, or of any, is unfinished.

    :param guest: its name or UUID; None: whoever it concerns.
    :raises JournalFailed: one is.
    """
    found = load(System(root))
    if found is None:
        return
    names = [each.name for each in found.guests]
    if guest is None or any(guest in (g.uuid, g.name) for g in found.guests):
        raise JournalFailed(
            f'an exchange of pCPUs between {", ".join(sorted(names))} was '
            f'interrupted: kvm-tuning host rebalance --resume finishes it, '
            f'--undo takes it back'
        )


def open_(system: System, exchange: Exchange, folder: str = FOLDER) -> None:
    """Write the open exchange; it is on disk when this returns.

    :raises JournalFailed: it cannot be written.
    """
    _write(system, f'{folder}/{NAME}', {'exchange': _document(exchange)})


def close(
    system: System,
    exchange: Exchange,
    over: Exchange | None,
    folder: str = FOLDER,
) -> None:
    """Remove the open exchange, and keep in the history what came of it.

    :param over: its record; None: it was taken back.
    :raises JournalFailed: they cannot be written.
    """
    # The record can be there already, if this was interrupted.
    past = [
        replace(each, undone=over is not None)
        if exchange.undoes and each.when == exchange.undoes
        else each
        for each in history(system, folder)
        if each.when != exchange.when
    ]
    if over is not None:
        past.append(over)
    documents = [_document(each) for each in past[-MOST:]]
    _write(system, f'{folder}/{HISTORY_NAME}', {'exchanges': documents})
    path = f'{folder}/{NAME}'
    try:
        system.remove(path)
    except OSError as error:
        raise JournalFailed(
            f'/{path} cannot be removed: {error.strerror}'
        ) from error


def _write(system: System, path: str, document: Mapping[str, Any]) -> None:
    text = json.dumps({'version': VERSION, **document}, indent=1) + '\n'
    try:
        system.replace(path, text, mode=0o600)
    except OSError as error:
        raise JournalFailed(
            f'/{path} cannot be written: {error.strerror}'
        ) from error


def _read(system: System, path: str) -> dict[str, Any] | None:
    try:
        text = owned.read(path, LARGE_BYTES, system.root)
    except OSError as error:
        raise JournalFailed(
            f'/{path} cannot be read: {error.strerror}'
        ) from error
    if text is None:
        return None
    try:
        document = json.loads(text)
        if document['version'] != VERSION:
            raise ValueError(f'its version is {document["version"]!r}')
        return dict(document)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _strange(path, error) from error


def _strange(path: str, error: Exception) -> JournalFailed:
    return JournalFailed(
        f'/{path} is not a journal of version {VERSION} ({error!r}): restore '
        f'it, or compare the pins of all guests and move it away'
    )


def _document(exchange: Exchange) -> dict[str, Any]:
    return {
        'when': exchange.when,
        'kind': exchange.kind,
        'undone': exchange.undone,
        'undoes': exchange.undoes,
        'figures': dict(exchange.figures),
        'groups': [
            {'cpus': cpuset.format(g.cpus), 'free': cpuset.format(g.free)}
            for g in exchange.groups
        ],
        'guests': [
            {
                'uuid': g.uuid,
                'name': g.name,
                'receipt': g.receipt,
                'before': g.before,
                'after': g.after,
                'mapped': g.mapped,
                'emulator': g.emulator and _texts(g.emulator),
                'iothreads': {
                    number: _texts(pair)
                    for number, pair in g.iothreads.items()
                },
            }
            for g in exchange.guests
        ],
    }


def _texts(pair: Pair) -> list[str]:
    return [cpuset.format(cpus) for cpus in pair]


def _parsed(path: str, raw: Any) -> Exchange:
    """:raises JournalFailed: it is not one that we write."""
    try:
        found = Exchange(
            tuple(_guest(each) for each in raw['guests']),
            tuple(
                Group(cpuset.parse(g['cpus']), cpuset.parse(g['free']))
                for g in raw['groups']
            ),
            str(raw['when']),
            str(raw['kind']),
            dict(raw['figures']),
            bool(raw['undone']),
            str(raw['undoes']),
        )
        known = frozenset[int]().union(*(g.cpus for g in found.groups))
        for guest in found.guests:
            if not known.issuperset(guest.mapped.values()):
                raise ValueError(f'guest {guest.name!r} has no group')
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _strange(path, error) from error
    return found


def _guest(raw: Any) -> Guest:
    found = Guest(
        str(raw['uuid']),
        str(raw['name']),
        _numbers(raw['before']),
        _numbers(raw['after']),
        _numbers(raw['mapped']),
        str(raw['receipt']),
        None if raw['emulator'] is None else _pair(raw['emulator']),
        {int(n): _pair(pair) for n, pair in raw['iothreads'].items()},
    )
    if found.before.keys() != found.after.keys():
        raise ValueError('a vCPU has no place')
    if found.receipt not in _BACK:
        raise ValueError(f'a receipt is {found.receipt!r}')
    return found


def _numbers(raw: Any) -> dict[int, int]:
    return {int(key): int(value) for key, value in raw.items()}


def _pair(raw: Any) -> Pair:
    before, after = map(cpuset.parse, raw)
    return before, after
