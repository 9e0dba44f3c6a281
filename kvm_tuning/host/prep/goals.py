"""Values of host-prep: goals, refusals, notes, routes.

A group (``ksm``, ``sriov`` and so on) yields the settings it wants as
:class:`Goal`. A :class:`Route` describes, for one address and one target, how
the kernel lets it be reached, what that interrupts and why it is refused;
apply and undo take the same routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import enum

from kvm_tuning.core.effects import Phase, Scope, Setting, SettingKind

#: (kind, name) of a setting.
Address = tuple[str, str]

#: A value at an address; None: nothing is there (no file, no line).
Value = str | None

#: Ends the value of a file that the next boot does not follow yet: a menu is
#: to be made of it, or a copy that a boot loader reads.
STALE_MENU = ' (not in the menu yet)'
STALE_COPY = ' (not copied yet)'


def settled(value: Value) -> Value:
    """Return a value without such a mark."""
    if value is None:
        return None
    return value.removesuffix(STALE_MENU).removesuffix(STALE_COPY)


class When(enum.Enum):
    """When a setting takes effect."""

    NOW = 'at once'
    NEW_GUESTS = 'for guests that start later'
    RELOAD = 'when the module is reloaded'
    REBOOT = 'after a reboot'


@dataclass(frozen=True, slots=True)
class Goal:
    """One setting that the configuration wants."""

    setting: Setting
    #: The configuration's group.
    concern: str
    #: The present value at the address.
    found: Value
    reason: str
    #: The running kernel's value, where that is not ``found``.
    running: Value = None
    when: When = When.NOW
    #: A failure is reported and does not stop the run (an IRQ that cannot be
    #: moved).
    optional: bool = False
    #: A name for people, shorter than the address.
    title: str = ''
    #: The running value that counts as wanted, where the kernel writes it
    #: differently from the setting.
    running_wanted: Value = None
    #: Why the running kernel does not have what it was started with, where
    #: another start would not change that; empty: nothing is known.
    shortfall: str = ''

    @property
    def address(self) -> Address:
        return str(self.setting.kind), self.setting.name

    @property
    def reached(self) -> bool:
        return self.found == self.setting.value

    @property
    def in_force(self) -> bool:
        """Whether the running kernel has the wanted value as well."""
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
    """Why a setting is not made.

    ``allow`` is the word for the option ``allow`` of the concern's group that
    lifts the refusal; None: nothing lifts it.
    """

    concern: str
    subject: str
    reason: str
    allow: str | None = None
    #: Whether the reason is a device that is missing, perhaps only for now.
    absent: bool = False

    def __str__(self) -> str:
        text = f'[{self.concern}] {self.subject}: {self.reason}'
        if self.allow is None:
            return text
        return f'{text} (allow = {self.allow} lifts this)'


@dataclass(frozen=True, slots=True)
class Note:
    """Something the operator should know that does not stop the run."""

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
    """Another address that must hold ``during`` while a value is written,
    and gets its own value back afterwards.
    """

    address: Address
    during: str


@dataclass(frozen=True, slots=True)
class Route:
    """How a target is reached from the present value."""

    #: Values to write first, before the target.
    via: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    interrupts: tuple[str, ...] = ()
    #: Names of the guests affected.
    guests: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()
    #: Seconds after which a write that has not returned counts as blocked.
    timeout: float = 120.0
    #: What an errno means here, for messages.
    meanings: Mapping[int, str] = field(default_factory=dict)


DIRECT = Route()


@dataclass(frozen=True, slots=True)
class Argument:
    """One kernel argument for the next boot. ``value`` is empty for a bare
    word such as ``nosmt``.
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
    """The conditions under which changes are made."""

    #: Words of the option ``allow``, by concern.
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)
    write_timeout: float = 120.0
    #: Values that other addresses must hold while a setting is written.
    meanwhile: Mapping[Address, str] = field(default_factory=dict)

    def lifts(self, refusal: Refusal) -> bool:
        return refusal.allow is not None and refusal.allow in self.allow.get(
            refusal.concern, frozenset()
        )


def setting(kind: SettingKind, name: str, value: str) -> Setting:
    """Return a setting of the host that is made at boot."""
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
        setting(SettingKind.SYSFS, path, value),
        concern,
        found,
        reason,
        when=when,
        optional=optional,
        title=title,
    )
