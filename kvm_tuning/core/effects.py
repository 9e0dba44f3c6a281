"""What must hold for a guest or a host: a closed vocabulary of small values.

One engine applies, checks and restores any effect; a hook only states it.

An element's *path* starts below ``<domain>``. Each step is a tag, with keys in
brackets where there can be several: ``cputune/vcpupin[@vcpu='0']`` or
``devices/disk[target/@dev='vda']/driver``. Keys name things that stay: a disk
target, a MAC, a vCPU or iothread number; never a position.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import enum


@dataclass(frozen=True, slots=True)
class Element:
    """What the domain XML must carry. ``text`` None: any text; an attribute
    None: the element must not have it.

    A device that the domain lacks is an error, unless ``make`` says that the
    guest gets it: a VF, or a host device.
    """

    path: str
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    text: str | None = None
    make: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """What the domain XML must not carry: no element at the path."""

    path: str


class Scope(enum.Enum):
    """Where a setting lives."""

    HOST = 'host'
    GUEST = 'guest'
    INSTANCE = 'instance'


class Phase(enum.Enum):
    """When a setting can be made."""

    BOOT = 'boot'
    BEFORE_START = 'before-start'
    AFTER_START = 'after-start'


class SettingKind(enum.StrEnum):
    """The kinds of settings. Receipts and journals have these words."""

    # Of guests.
    THREAD_AFFINITY = 'thread-affinity'
    VF_ATTRIBUTE = 'vf-attribute'
    HOST_MODE = 'host-mode'
    GUEST = 'guest'
    # Of hosts.
    SYSFS = 'sysfs'
    MODULE_PARAMETER = 'module-parameter'
    RUNNING_PARAMETER = 'running-parameter'
    MODULE = 'module'
    MODULE_LOAD = 'module-load'
    KERNEL_ARGUMENTS = 'kernel-arguments'
    UDEV_RULE = 'udev-rule'
    SERVICE = 'service'
    CPU_AFFINITY = 'cpu-affinity'


@dataclass(frozen=True, slots=True)
class Setting:
    """What must hold outside the domain XML.

    ``kind`` is a :class:`SettingKind`; of a receipt that a later release has
    written, it may be a word that this one does not know. ``name`` addresses
    the thing within the kind.
    """

    kind: str
    name: str
    value: str
    scope: Scope
    phase: Phase


Effect = Element | Absent | Setting


@dataclass(frozen=True, slots=True)
class Hold:
    """What the guest holds on the host besides its placement, by the name that
    its claim carries: ``nic/eth1``.
    """

    device: str


@dataclass(frozen=True, slots=True)
class Consequence:
    """What the operator or the tenant should know about a plan.

    ``audience`` is ``operator`` or ``tenant``; ``code`` is short and stable.
    """

    code: str
    audience: str
    text: str
