"""What the fit needs besides Nova's arguments: L3 domains and locality.

Nova's fit sees neither the flavor nor the host. Its caller (the claim, the
scheduler's filter, a replay) sets both here, for the duration of the call.
"""

from collections.abc import Iterator, Mapping
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass

from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core.demands import Locality, LocalityDemand

LOCALITY = 'kvm:cpu_locality'
POLICY = 'kvm:cpu_locality_policy'


@dataclass(frozen=True, slots=True)
class Asking:
    """What is known about the host, and what is requested of it."""

    #: Empty: unknown, each cell counts as one.
    domains: Domains = ()
    locality: LocalityDemand | None = None


_call: ContextVar[Asking | None] = ContextVar('asking', default=None)
# For a process of one host, where nobody sets it for each call.
_process: list[Asking] = []


def locality(
    extra_specs: Mapping[str, str], default: str | None = None
) -> LocalityDemand | None:
    """Return the locality that a flavor requests, or otherwise the host
    prefers.
    """
    text = extra_specs.get(LOCALITY, '').strip()
    values = {level.value for level in Locality}
    if text in values:
        strict = extra_specs.get(POLICY, '').strip() == 'strict'
        return LocalityDemand(
            Locality(text), strict and text == 'l3', f'{LOCALITY}={text}'
        )
    if default in values:
        return LocalityDemand(Locality(default), False, 'default of the host')
    return None


def current() -> Asking:
    """Return what applies to the current call."""
    asking = _call.get()
    if asking is not None:
        return asking
    return _process[0] if _process else Asking()


def known() -> bool:
    """Return whether anybody has set a context."""
    return bool(_process) or _call.get() is not None


@contextlib.contextmanager
def asking(what: Asking) -> Iterator[None]:
    """Apply ``what`` to the calls within."""
    token = _call.set(what)
    try:
        yield
    finally:
        _call.reset(token)


def for_process(what: Asking | None) -> None:
    """Apply ``what`` to all calls of this process; None: no longer."""
    _process[:] = [] if what is None else [what]
