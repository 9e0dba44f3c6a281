"""What a group of host settings is: one value that holds all of it.

A group's module declares its options, what of the configuration it wants,
how the host is read and what it takes, which ways its settings need, and who
else sets the same. Whatever lists groups derives from these values.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
import re
from typing import Any, Generic, TypeVar

from oslo_config import cfg

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Address,
    Goal,
    Item,
    Route,
    Terms,
    Value,
)

Wanted = TypeVar('Wanted')
State = TypeVar('State')

#: Returns the route from a value at an address to another one.
Finder = Callable[[Host, Terms, Address, Value, Value], Route]


@dataclass(frozen=True, slots=True)
class Way:
    """Addresses that take more than one write, and what finds the route."""

    kind: SettingKind
    #: A regular expression that matches the whole name.
    pattern: str
    find: Finder

    def fits(self, address: Address) -> bool:
        """Return whether an address needs this way."""
        kind, name = address
        return kind == self.kind and bool(re.fullmatch(self.pattern, name))


@dataclass(frozen=True, slots=True)
class Rivals:
    """Who else sets what a group sets."""

    #: A regular expression of the lines of a TuneD profile.
    tuned: str = ''
    #: Kernel arguments that set the same as an attribute of the group.
    arguments: tuple[str, ...] = ()
    #: Daemons by the beginning of the attributes' paths that they write.
    daemons: Mapping[str, str] = field(default_factory=dict)
    #: Regular expressions of the attributes, as paths below the root, that
    #: files of sysctl.d, tmpfiles.d, sysfs.conf or udev's rules may set.
    attributes: tuple[str, ...] = ()
    #: Yields those that only the group itself can find.
    find: Callable[[Host, Goal], Iterator[str]] | None = None


#: Nobody else sets it: decided, not forgotten.
NOBODY = Rivals()


@dataclass(frozen=True, slots=True)
class Group(Generic[Wanted, State]):
    """One group of options and what they ask of a host.

    The defaults of ``rivals``, ``persisted`` and ``undone`` stand for "not
    decided", which :func:`kvm_tuning.host_table.missing` reports.
    """

    #: The section of the configuration, and the word for ``ready_ignores``.
    name: str
    options: tuple[cfg.Opt, ...]
    #: Returns what the configuration wants; None: nothing.
    wanted: Callable[[Any], Wanted | None]
    #: Returns the part of the host that planning takes.
    read: Callable[[Host], State]
    #: Yields what it takes to have what is wanted.
    plan: Callable[[Wanted, State], Iterator[Item]]
    rivals: Rivals | None = None
    #: What makes its settings again at a boot.
    persisted: str = ''
    #: What undo does.
    undone: str = ''
    ways: tuple[Way, ...] = ()
    #: Kernel arguments of which no other value may linger.
    arguments: tuple[str, ...] = ()
    #: Returns values that addresses must have while settings are made.
    meanwhile: Callable[[Any, Host], Mapping[Address, str]] | None = None

    def items(self, conf: Any, host: Host) -> Iterator[Item]:
        """Yield what the configuration takes on a host.

        :raises ConfigInvalid: an option cannot be understood.
        :raises InventoryUnreadable: the host cannot be read.
        """
        wanted = self.wanted(conf)
        if wanted is not None:
            yield from self.plan(wanted, self.read(host))

    def allowed(self, conf: Any) -> frozenset[str]:
        """Return the words of its option ``allow``; none without one."""
        if all(option.dest != 'allow' for option in self.options):
            return frozenset()
        return frozenset(conf[self.name].allow)
