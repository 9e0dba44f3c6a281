"""Errors, by who must act. Each class is a stable, documented code.

A message is one sentence for a person: it names the key, who set it, the
value, and what would work. ``code`` is the class's name and never changes.
"""

from collections.abc import Sequence


class KvmTuningError(Exception):
    """Base of all errors that this package raises on purpose."""

    #: Who has to act on it, in the operator's words.
    who = 'operator'

    @property
    def code(self) -> str:
        return type(self).__name__


class RequestError(KvmTuningError):
    """What was asked makes no sense: the flavor's or image's author acts."""

    who = 'flavor or image author'


class UnknownKnob(RequestError):
    """A key in our namespace that no hook owns."""


class InvalidValue(RequestError):
    """A value outside of its kind."""


class ConflictingKnobs(RequestError):
    """Two keys that contradict each other."""


class InvalidDocument(RequestError):
    """A flavor, an image, a profile or a domain that cannot be read."""


class SeveralErrors(RequestError):
    """All that is wrong with one request, at once."""

    def __init__(self, errors: Sequence[RequestError]) -> None:
        super().__init__('\n'.join(f'{e.code}: {e}' for e in errors))
        self.errors = tuple(errors)


def raise_all(errors: Sequence[RequestError]) -> None:
    """Raise what is in ``errors``, each message once; nothing for none."""
    if not errors:
        return
    distinct = list({str(error): error for error in errors}.values())
    if len(distinct) == 1:
        raise distinct[0]
    raise SeveralErrors(distinct)


class Refused(KvmTuningError):
    """This host cannot keep the promise: another host, or its operator."""

    who = 'scheduler or operator'


class Unsupported(Refused):
    """The host, its kernel, QEMU or libvirt has no such thing."""


class Exhausted(Refused):
    """The host has such a thing, and not enough of it is free."""


class HookError(KvmTuningError):
    """A hook is broken: its developer acts."""

    who = 'hook developer'


class HookLoadError(HookError):
    """A hook cannot be imported, is no hook, or claims another one's name."""


class HookConflict(HookError):
    """Two hooks want different values at one address."""


class HookFailed(HookError):
    """A hook raised something that is not one of these errors."""


class HostError(KvmTuningError):
    """The host cannot be read or written."""

    who = "host's operator"


class InventoryUnreadable(HostError):
    """Something below /sys or /proc is missing or is not as documented."""


class SettingRejected(HostError):
    """The kernel or libvirt refused a value, or did not keep it."""


class JournalFailed(HostError):
    """The journal of host settings cannot be read, written or locked."""


class LibvirtFailed(HostError):
    """libvirt cannot be reached, or a call to it failed."""


class CloudFailed(HostError):
    """A cloud cannot be reached, or refused what was asked."""


class ConfigInvalid(HostError):
    """A configuration option of this host makes no sense."""


class LockFailed(HostError):
    """Another process plans guests here, or the lock cannot be made."""


class WrongUsage(KvmTuningError):
    """A command line makes no sense, or names a file that is not there."""

    who = 'caller'
