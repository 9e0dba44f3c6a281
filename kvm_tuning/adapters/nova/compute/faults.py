"""Convert our errors to Nova's: who has to act decides what Nova does next."""

import re
from typing import Any

from nova import exception

from kvm_tuning.core.exceptions import (
    Exhausted,
    HostError,
    KvmTuningError,
    Refused,
)

#: What makes Nova try another host.
ELSEWHERE = exception.ComputeResourcesUnavailable

# The key and the value of the request that a message begins with.
_KEY = re.compile(
    r'(?:hw|kvm|pci_passthrough):[a-z0-9_.]+(?:=[\w.,-]+)?(?=[:\s])'
)
# Numbers and lists of them, outside of the values of keys.
_FIGURES = re.compile(r'(?<![\w=:./-])\d[\d,.-]*(?<=\d)(?!\w)')
# What says without Nova which pCPUs are whose, and what does with it.
_OPTIONS = {
    '[placement] dedicated_cpus': '[compute] cpu_dedicated_set',
    '[placement] shared_cpus': '[compute] cpu_shared_set',
}


def abort(error: KvmTuningError) -> Any:
    """Return the exception that aborts a build because every host would fail
    alike.
    """
    return exception.InvalidInput(reason=shown(error))


def elsewhere(error: KvmTuningError) -> Any:
    """Return the exception that lets Nova try another host."""
    return ELSEWHERE(reason=shown(error))


def of(error: KvmTuningError) -> Any:
    """Return the exception for an error while a guest is created.

    A flavor that contradicts itself and a broken hook are the same on every
    host; a refusal and a host that cannot be read are not.
    """
    if isinstance(error, Refused | HostError):
        return elsewhere(error)
    return abort(error)


def told(error: KvmTuningError) -> str:
    """Return the code and the message, for the log and for the events that
    operators read: with the options that are read under Nova.
    """
    text = f'{error.code}: {error}'
    for ours, novas in _OPTIONS.items():
        text = text.replace(ours, novas)
    return text


def shown(error: KvmTuningError) -> str:
    """Return the code and the message for the instance's fault, which its
    tenant reads.

    What is wrong with a flavor is said in full. What a host has, and what
    its other guests leave of it, is the operator's to know.
    """
    if isinstance(error, Exhausted | HostError):
        key = _KEY.match(str(error))
        what = f'{key[0]}: this' if key else 'this'
        return (
            f'{error.code}: {what} host cannot give the server what its '
            f"flavor requests; nova-compute's log and the server's events "
            f'have the reason, for operators'
        )
    if isinstance(error, Refused):
        # A feature that is missing is named, and no figure with it.
        return _FIGURES.sub('(...)', told(error))
    return told(error)
