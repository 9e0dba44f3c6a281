"""What host-prep is to reach, and what stands in its way. Values only.

A planner (``ksm``, ``sriov`` and so on) says which settings are wanted as
:class:`Goal`. A :class:`Route` says, for one address and one target, how the
kernel lets it be reached, what that interrupts and why it is refused; apply
and undo take the same routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import enum

from kvm_tuning.core.effects import Phase, Scope, Setting

#: (kind, name) of a setting.
Address = tuple[str, str]

#: A value at an address; None: there is nothing (no file, no line).
Value = str | None


class When(enum.Enum):
    """When a setting that was made has its effect."""

    NOW = 'at once'
    NEW_GUESTS = 'for guests that start later'
    RELOAD = 'when the module is loaded again'
    REBOOT = 'after a reboot'


@dataclass(frozen=True, slots=True)
class Goal:
    """One setting that the configuration wants."""

    setting: Setting
    #: The configuration's group.
    concern: str
    #: What is at the address now.
    found: Value
    reason: str
    #: What the running kernel has, where that is not ``found`` itself.
    running: Value = None
    when: When = When.NOW
    #: A failure is told and stops nothing (an IRQ that cannot be moved).
    optional: bool = False
    #: For people: what is set, shorter than the address.
    title: str = ''
    #: The value of the running kernel that is as good as wanted, where it is
    #: written in other words than the setting's own.
    running_wanted: Value = None
    #: Why the running kernel does not have what it was started with, where
    #: another start would not change that; empty: nothing is known.
    shortfall: str = ''

    @property
    def address(self) -> Address:
        return self.setting.kind, self.setting.name

    @property
    def reached(self) -> bool:
        return self.found == self.setting.value

    @property
    def in_force(self) -> bool:
        """Whether the running kernel has it, too."""
        wanted = self.running_wanted or self.setting.value
        return self.running_value == wanted

    @property
    def running_value(self) -> Value:
        return self.found if self.running is None else self.running

    @property
    def label(self) -> str:
        return self.title or f'{self.setting.kind} {self.setting.name}'


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a setting is not made. ``allow``: the word of the option ``allow``
    of the concern's group that lifts it; None where nothing does.
    """

    concern: str
    subject: str
    reason: str
    allow: str | None = None
    #: It is because a device is not there, or not there yet.
    absent: bool = False

    def __str__(self) -> str:
        text = f'[{self.concern}] {self.subject}: {self.reason}'
        if self.allow is None:
            return text
        return f'{text} (allow = {self.allow} lifts this)'


@dataclass(frozen=True, slots=True)
class Note:
    """What the operator should know, and what stops nothing."""

    concern: str
    text: str

    def __str__(self) -> str:
        return f'[{self.concern}] {self.text}'


@dataclass(frozen=True, slots=True)
class Unseen:
    """A part of the host that cannot be found, read or understood, so that
    nobody can tell whether it is as wanted. It stops nothing else, and keeps
    the host from being ready.
    """

    concern: str
    subject: str
    reason: str
    #: What is wanted there, and what the running kernel has.
    wanted: Value = None
    running: Value = None

    def __str__(self) -> str:
        return f'[{self.concern}] {self.subject} cannot be seen: {self.reason}'


@dataclass(frozen=True, slots=True)
class Companion:
    """Another address that must have ``during`` while a value is written,
    and gets its own value back afterwards.
    """

    address: Address
    during: str


@dataclass(frozen=True, slots=True)
class Route:
    """How a target is reached from what is there now."""

    #: Values to write on the way, before the target.
    via: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    interrupts: tuple[str, ...] = ()
    #: Names of the guests that it touches.
    guests: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()
    #: Seconds until a write that does not return counts as blocked.
    timeout: float = 120.0
    #: What an errno means here, for the message.
    meanings: Mapping[int, str] = field(default_factory=dict)


DIRECT = Route()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument that the kernel is to be started with. ``value`` empty:
    a word alone, such as ``nosmt``.
    """

    key: str
    value: str
    concern: str
    reason: str

    def __str__(self) -> str:
        return f'{self.key}={self.value}' if self.value else self.key


Item = Goal | Refusal | Note | Argument | Unseen


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator allows, and how long a write may take."""

    #: Words of the option ``allow``, by concern.
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)
    write_timeout: float = 120.0
    #: What addresses must have while settings that they matter to are made.
    meanwhile: Mapping[Address, str] = field(default_factory=dict)

    def lifts(self, refusal: Refusal) -> bool:
        return refusal.allow is not None and refusal.allow in self.allow.get(
            refusal.concern, frozenset()
        )


def setting(kind: str, name: str, value: str) -> Setting:
    """Return a setting of the host, made at boot."""
    return Setting(kind, name, value, Scope.HOST, Phase.BOOT)


def sysfs(
    concern: str,
    path: str,
    found: Value,
    value: str,
    reason: str,
    *,
    title: str = '',
    when: When = When.NOW,
    optional: bool = False,
) -> Goal:
    """Return a goal for one file of sysfs or procfs."""
    return Goal(
        setting('sysfs', path, value),
        concern,
        found,
        reason,
        when=when,
        optional=optional,
        title=title,
    )
