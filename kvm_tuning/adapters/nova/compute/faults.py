"""Convert our errors to Nova's: who has to act decides what Nova does next."""

from typing import Any

from nova import exception

from kvm_tuning.core.exceptions import HostError, KvmTuningError, Refused

#: What makes Nova try another host.
ELSEWHERE = exception.ComputeResourcesUnavailable

# What says without Nova which pCPUs are whose, and what does with it.
_OPTIONS = {
    '[placement] dedicated_cpus': '[compute] cpu_dedicated_set',
    '[placement] shared_cpus': '[compute] cpu_shared_set',
}


def abort(error: KvmTuningError) -> Any:
    """Return the exception that aborts a build because every host would fail
    alike.
    """
    return exception.InvalidInput(reason=told(error))


def elsewhere(error: KvmTuningError) -> Any:
    """Return the exception that lets Nova try another host."""
    return ELSEWHERE(reason=told(error))


def of(error: KvmTuningError) -> Any:
    """Return the exception for an error while a guest is created.

    A flavor that contradicts itself and a broken hook are the same on every
    host; a refusal and a host that cannot be read are not.
    """
    if isinstance(error, Refused | HostError):
        return elsewhere(error)
    return abort(error)


def told(error: KvmTuningError) -> str:
    """Return the code and the message for the instance's fault, naming the
    options that are read under Nova.
    """
    text = f'{error.code}: {error}'
    for ours, novas in _OPTIONS.items():
        text = text.replace(ours, novas)
    return text
