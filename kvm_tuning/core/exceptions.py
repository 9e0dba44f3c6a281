"""Errors, by who must act. Each class is a stable, documented code.

A message is one sentence for a person: it names the key, who set it, the
value, and what would work. ``code`` is the class's name and never changes.
"""

from collections.abc import Sequence


class KvmTuningError(Exception):
    """Base of all errors that this package raises on purpose."""

    #: Who has to act on it, in the operator's words.
    who = 'operator'
    #: Where it appears, and what to do about it, in reStructuredText.
    seen = ''
    remedy = ''

    @property
    def code(self) -> str:
        return type(self).__name__


class RequestError(KvmTuningError):
    """The request is wrong: the author of the flavor or the image acts."""

    who = 'flavor or image author'
    seen = (
        'A command exits with 1. nova-api answers HTTP 400 when the flavor '
        'is set; if it was not validated there, the build is aborted, and '
        "the server's fault has the code and the message."
    )


class UnknownKnob(RequestError):
    """A key in our namespace that no hook owns."""

    remedy = (
        'Correct the key: ``kvm-tuning knob list`` lists them all. A key of '
        'a hook from outside the tree needs that package here, too.'
    )


class InvalidValue(RequestError):
    """A value that its kind does not allow."""

    remedy = (
        'Use a value that the message names; ``kvm-tuning knob show KEY`` '
        'describes them all.'
    )


class ConflictingKnobs(RequestError):
    """Two keys that contradict each other."""

    remedy = (
        'Remove one of the keys that the message names from the flavor or '
        'the image. ``kvm-tuning flavor check`` finds such conflicts before '
        'a guest does.'
    )


class InvalidDocument(RequestError):
    """A flavor, an image, a profile or a domain that cannot be read."""

    remedy = (
        'Supply what the message wants: a flavor or an image as ``openstack '
        'flavor show -f json`` prints it, a domain as ``virsh dumpxml`` '
        'prints it, a flavor that the cloud has.'
    )


class SeveralErrors(RequestError):
    """Everything that is wrong with one request, at once."""

    remedy = (
        'Each line of the message is an error with a code of its own: look '
        'that code up.'
    )

    def __init__(self, errors: Sequence[RequestError]) -> None:
        super().__init__('\n'.join(f'{e.code}: {e}' for e in errors))
        self.errors = tuple(errors)


def raise_all(errors: Sequence[RequestError]) -> None:
    """Raise what is in ``errors``, each message once; do nothing if it is
    empty.
    """
    if not errors:
        return
    distinct = list({str(error): error for error in errors}.values())
    if len(distinct) == 1:
        raise distinct[0]
    raise SeveralErrors(distinct)


class Refused(KvmTuningError):
    """This host cannot keep the promise: use another host, or its operator
    acts.
    """

    who = 'scheduler or operator'
    seen = (
        'A command exits with 1, and the guest is not started. Nova tries '
        'another host; when none is left, the server ends with "No valid '
        'host", and nova-compute\'s log has the message.'
    )


class Unsupported(Refused):
    """The host, its kernel, QEMU or libvirt lacks a feature."""

    remedy = (
        'Start the guest on a host that has the feature, add to this one '
        'what the message names (``kvm-tuning host plan`` shows what '
        'host-prep would do), or request less: a preference in a profile or '
        'in ``[defaults] knobs`` is never refused.'
    )


class Exhausted(Refused):
    """The host has the resource, but not enough of it is free."""

    remedy = (
        '``kvm-tuning guest list`` shows who holds what. Start the guest '
        'elsewhere, stop or move another one, or reserve more (huge pages, '
        'VFs, ``cpu_dedicated_set``).'
    )


class HookError(KvmTuningError):
    """A hook is broken: its developer acts."""

    who = 'hook developer'
    seen = (
        'A command exits with 3, and nothing is changed. Nova aborts the '
        'build.'
    )


class HookLoadError(HookError):
    """A hook cannot be imported, is not a hook, or claims another
    one's name.
    """

    remedy = (
        'Reinstall the package that the message names, or uninstall it. '
        'Until then no guest is planned.'
    )


class HookConflict(HookError):
    """Two hooks want different values at one address."""

    remedy = (
        "Remove one of the two hooks' knobs from the flavor, or uninstall "
        'one of their packages, until the developers have settled it.'
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
    """Something below /sys or /proc is missing or not as documented."""

    remedy = (
        'Look at the path that the message names, as the same user. In a '
        "container, the host's ``/sys`` and ``/proc`` must be mounted."
    )


class SettingRejected(HostError):
    """The kernel or libvirt refused a value, or did not keep it."""

    remedy = (
        "Write the value that the message names by hand: the kernel's log "
        'says more. If a file is not ours, its owner has to move it away.'
    )


class JournalFailed(HostError):
    """The journal of host settings cannot be read, written or locked."""

    remedy = (
        'Run the command as root, and one at a time. A journal that cannot '
        'be read must be restored from a backup: without it, undo does not '
        'know the previous values.'
    )


class LibvirtFailed(HostError):
    """libvirt cannot be reached, or a call to it failed."""

    remedy = (
        'If ``virsh -c URI list`` fails in the same way as the same user, '
        "look at libvirt's daemon, its socket's permissions and ``[libvirt] "
        'uri``.'
    )


class CloudFailed(HostError):
    """A cloud cannot be reached, or refused a request."""

    remedy = (
        'If ``openstack --os-cloud NAME flavor list`` fails in the same way, '
        "look at ``clouds.yaml`` and the user's roles. openstacksdk comes "
        'with ``pip install kvm-tuning[cloud]``.'
    )


class ConfigInvalid(HostError):
    """A configuration option of this host is wrong."""

    remedy = (
        'Correct the option that the message names, in ``/etc/kvm-tuning`` '
        "or in Nova's configuration: :doc:`/configuration/index` lists all "
        'of ours.'
    )


class LockFailed(HostError):
    """Another process is planning guests here, or the lock cannot be
    created.
    """

    remedy = (
        'Wait until the other process has finished, or run the command as '
        "the user that plans guests here: root, or nova-compute's."
    )


class BenchFailed(HostError):
    """A measurement cannot be made."""

    remedy = (
        'Look at what the message names: a C compiler and its headers, the '
        'free memory, or the pCPUs that this process may use.'
    )


class WrongUsage(KvmTuningError):
    """A command line is wrong, or names a file that does not exist."""

    who = 'caller'
    seen = 'A command exits with 2.'
    remedy = "Look at an example: each command's ``--help`` has one."
