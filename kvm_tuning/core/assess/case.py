"""What a rule of an assessment looks at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from kvm_tuning.core.assess import place
from kvm_tuning.core.assess.guest import Foreign, Guest
from kvm_tuning.core.assess.place import Place
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Kind, Thread, Unknown

_T = TypeVar('_T')

#: How many names one finding lists.
_NAMED = 5


class Unseen(Exception):
    """A rule has to leave it open whether its codes apply."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


def seen(value: _T | Unknown) -> _T:
    """Return what was observed.

    :raises Unseen: it was not.
    """
    if isinstance(value, Unknown):
        raise Unseen(value)
    return value


class Host:
    """A host and where all of its guests are: read once for all of them."""

    def __init__(
        self,
        inventory: Inventory,
        guests: Iterable[Guest],
        foreign: tuple[Foreign, ...] | Unknown,
    ) -> None:
        self.inventory = inventory
        self.foreign = foreign
        self.domains = place.domains(inventory)
        self.places = {
            guest.key: place.of(guest, inventory) for guest in guests
        }
        self.names = {guest.key: guest.setup.name for guest in guests}

    @cached_property
    def holders(self) -> Mapping[int, tuple[str, ...]]:
        """The keys of the guests that are pinned to each pCPU."""
        found: dict[int, list[str]] = {}
        for key, where in self.places.items():
            held = () if isinstance(where, Unknown) else where.held
            for pcpu in held:
                found.setdefault(pcpu, []).append(key)
        return {pcpu: tuple(keys) for pcpu, keys in found.items()}

    def others(self, pcpus: Iterable[int], key: str) -> dict[int, list[str]]:
        """Return the other guests that are pinned to each of ``pcpus``."""
        holders = self.holders
        found = {}
        for pcpu in pcpus:
            others = [each for each in holders.get(pcpu, ()) if each != key]
            if others:
                found[pcpu] = others
        return found

    def named(self, keys: Iterable[str]) -> str:
        """Return names of guests as a message lists them."""
        return several(sorted({self.names[key] for key in keys}))


@dataclass(frozen=True, slots=True)
class Case:
    """One guest on its host."""

    guest: Guest
    host: Host

    @property
    def place(self) -> Place:
        """Where its vCPUs may run.

        :raises Unseen: it is not known.
        """
        return seen(self.host.places[self.guest.key])

    def threads(self, kind: Kind) -> tuple[Thread, ...]:
        """Return its threads of one kind.

        :raises Unseen: they are hidden, or cannot be told apart.
        """
        threads = seen(self.guest.threads)
        if any(each.kind is Kind.UNTOLD for each in threads):
            raise Unseen(
                Unknown(
                    'what its threads do is not known',
                    'QEMU with -name debug-threads=on',
                )
            )
        return tuple(each for each in threads if each.kind is kind)


def several(names: list[str]) -> str:
    """Return names as a message lists them: the first, and how many more."""
    more = len(names) - _NAMED
    shown = ', '.join(names[:_NAMED])
    return f'{shown} and {more} more' if more > 0 else shown


def counted(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f'{number} {what}' if number == 1 else f'{number} {what}s'


def ids(what: str, numbers: Iterable[int]) -> str:
    """Return ``cell 0``, or ``cells 0 and 1``."""
    listed = [str(number) for number in sorted(numbers)]
    if len(listed) == 1:
        return f'{what} {listed[0]}'
    return f'{what}s {", ".join(listed[:-1])} and {listed[-1]}'
