"""What the fit has to know beside Nova's arguments: L3 domains, locality.

Nova's fit sees neither the flavor nor the host. Who calls it (the claim, the
scheduler's filter, a replay) says so here, for the time of the call.
"""

from collections.abc import Iterator, Mapping
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass

from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core.demands import Locality, LocalityDemand

LOCALITY = 'kvm:cpu_locality'
POLICY = 'kvm:cpu_locality_policy'

#: What the claim keeps, once and for all: nothing of it is in a device.
OF_CLAIMS = frozenset({LOCALITY, POLICY})


@dataclass(frozen=True, slots=True)
class Asking:
    """What is known of the host, and what is asked of it."""

    #: Empty: not known, each cell counts as one.
    domains: Domains = ()
    locality: LocalityDemand | None = None


_call: ContextVar[Asking | None] = ContextVar('asking', default=None)
# For a process of one host, where nobody says it for each call.
_process: list[Asking] = []


def locality(
    extra_specs: Mapping[str, str], default: str | None = None
) -> LocalityDemand | None:
    """Return the locality that a flavor asks, or else the host prefers."""
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
    """Return what holds for the call that runs."""
    asking = _call.get()
    if asking is not None:
        return asking
    return _process[0] if _process else Asking()


def known() -> bool:
    """Return whether anybody has said what holds."""
    return bool(_process) or _call.get() is not None


@contextlib.contextmanager
def asking(what: Asking) -> Iterator[None]:
    """Let ``what`` hold for the calls within."""
    token = _call.set(what)
    try:
        yield
    finally:
        _call.reset(token)


def for_process(what: Asking | None) -> None:
    """Let ``what`` hold for all calls of this process; None: no more."""
    _process[:] = [] if what is None else [what]
