"""Errors, by who must act. Each class is a stable, documented code.

A message is one sentence for a person: it names the key, who set it, the
value, and what would work. ``code`` is the class's name and never changes.
"""

from collections.abc import Sequence


class KvmTuningError(Exception):
    """Base of all errors that this package raises on purpose."""

    #: Who has to act on it, in the operator's words.
    who = 'operator'
    #: Where it is seen, and what to do about it, in reStructuredText.
    seen = ''
    remedy = ''

    @property
    def code(self) -> str:
        return type(self).__name__


class RequestError(KvmTuningError):
    """What was asked makes no sense: the flavor's or image's author acts."""

    who = 'flavor or image author'
    seen = (
        'A command exits with 1. nova-api answers HTTP 400 when the '
        'flavor is set; where it was not asked, the build is aborted, and '
        "the server's fault has the code and the message."
    )


class UnknownKnob(RequestError):
    """A key in our namespace that no hook owns."""

    remedy = (
        'Correct the key: ``kvm-tuning knob list`` has all. A key of a '
        'hook from outside the tree needs that package here, too.'
    )


class InvalidValue(RequestError):
    """A value outside of its kind."""

    remedy = (
        'Give a value that the message names; ``kvm-tuning knob show '
        'KEY`` describes them all.'
    )


class ConflictingKnobs(RequestError):
    """Two keys that contradict each other."""

    remedy = (
        'Take one of the keys that the message names out of the flavor or '
        'the image. ``kvm-tuning flavor check`` finds them before a guest '
        'does.'
    )


class InvalidDocument(RequestError):
    """A flavor, an image, a profile or a domain that cannot be read."""

    remedy = (
        'Give what the message wants: a flavor or an image as ``openstack '
        'flavor show -f json`` prints it, a domain as ``virsh dumpxml`` '
        'does, a flavor that the cloud has.'
    )


class SeveralErrors(RequestError):
    """All that is wrong with one request, at once."""

    remedy = (
        'Each line of the message is an error with a code of its own: '
        'look there.'
    )

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
    seen = (
        'A command exits with 1, and the guest is not started. Nova tries '
        'another host; when none is left, the server ends with "No valid '
        'host", and nova-compute\'s log has the message.'
    )


class Unsupported(Refused):
    """The host, its kernel, QEMU or libvirt has no such thing."""

    remedy = (
        'Start the guest on a host that has it, give this one what the '
        'message names (``kvm-tuning host plan`` shows what host-prep '
        'would do), or ask for less: a preference in a profile or in '
        '``[defaults] knobs`` is never refused.'
    )


class Exhausted(Refused):
    """The host has such a thing, and not enough of it is free."""

    remedy = (
        '``kvm-tuning guest list`` shows who holds what. Start the guest '
        'elsewhere, stop or move another one, or reserve more (huge '
        'pages, VFs, ``cpu_dedicated_set``).'
    )


class HookError(KvmTuningError):
    """A hook is broken: its developer acts."""

    who = 'hook developer'
    seen = (
        'A command exits with 3, and nothing is changed. Nova aborts the '
        'build.'
    )


class HookLoadError(HookError):
    """A hook cannot be imported, is no hook, or claims another one's name."""

    remedy = (
        'Install the package that the message names anew, or uninstall '
        'it. No guest is planned meanwhile.'
    )


class HookConflict(HookError):
    """Two hooks want different values at one address."""

    remedy = (
        "Take one of the two hooks' knobs out of the flavor, or uninstall "
        'one of their packages, until their developer has settled it.'
    )


class HookFailed(HookError):
    """A hook raised something that is not one of these errors."""

    remedy = (
        'Report it with the message, the flavor, the image and, from the '
        'command line, what ``--debug`` prints.'
    )


class HostError(KvmTuningError):
    """The host cannot be read or written."""

    who = "host's operator"
    seen = 'A command exits with 3. Nova tries another host.'


class InventoryUnreadable(HostError):
    """Something below /sys or /proc is missing or is not as documented."""

    remedy = (
        'Look at the path that the message names, as the same user. In a '
        "container, the host's ``/sys`` and ``/proc`` have to be there."
    )


class SettingRejected(HostError):
    """The kernel or libvirt refused a value, or did not keep it."""

    remedy = (
        "Write the value that the message names by hand: the kernel's log "
        'says more. A file that is not ours has to be moved away by its '
        'owner.'
    )


class JournalFailed(HostError):
    """The journal of host settings cannot be read, written or locked."""

    remedy = (
        'Run the command as root, and one at a time. A journal that '
        'cannot be read has to come from a backup: without it, undo does '
        'not know what was there before.'
    )


class LibvirtFailed(HostError):
    """libvirt cannot be reached, or a call to it failed."""

    remedy = (
        '``virsh -c URI list`` as the same user fails alike: look at '
        "libvirt's daemon, its socket's rights and ``[libvirt] uri``."
    )


class CloudFailed(HostError):
    """A cloud cannot be reached, or refused what was asked."""

    remedy = (
        '``openstack --os-cloud NAME flavor list`` fails alike: look at '
        "``clouds.yaml`` and the user's roles. openstacksdk comes with "
        '``pip install kvm-tuning[cloud]``.'
    )


class ConfigInvalid(HostError):
    """A configuration option of this host makes no sense."""

    remedy = (
        'Correct the option that the message names, in '
        "``/etc/kvm-tuning`` or in Nova's configuration: "
        ':doc:`/configuration/index` has all of ours.'
    )


class LockFailed(HostError):
    """Another process plans guests here, or the lock cannot be made."""

    remedy = (
        'Wait until the other process has ended, or run the command as '
        "the user that plans guests here: root, or nova-compute's."
    )


class WrongUsage(KvmTuningError):
    """A command line makes no sense, or names a file that is not there."""

    who = 'caller'
    seen = 'A command exits with 2.'
    remedy = "Look at an example: each command's ``--help`` has one."
