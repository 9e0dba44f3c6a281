"""What the fit needs besides Nova's arguments: L3 domains and locality.

Nova's fit sees neither the flavor nor the host. Its caller (the claim, the
scheduler's filter, a replay) sets both here, for the duration of the call.
"""

from collections.abc import Iterator, Mapping
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core.demands import Locality, LocalityDemand
from kvm_tuning.core.request import PROFILE

LOCALITY = 'kvm:cpu_locality'
POLICY = 'kvm:cpu_locality_policy'

#: The extra specs that :func:`locality` reads.
KEYS = (LOCALITY, POLICY, PROFILE)

_LEVELS = frozenset(level.value for level in Locality)
_POLICIES = frozenset({'strict', 'preferred'})


@dataclass(frozen=True, slots=True)
class FitContext:
    """What is known about the host, and what is requested of it."""

    #: Empty: unknown, each cell counts as one.
    domains: Domains = ()
    locality: LocalityDemand | None = None


_call: ContextVar[FitContext | None] = ContextVar('fit_context', default=None)
# For a process of one host, where nobody sets it for each call.
_process: list[FitContext] = []


class Preference(NamedTuple):
    """What a profile or a host's defaults prefer, in the words of the knobs;
    None: nothing.
    """

    locality: str | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Preferences:
    """What applies to a flavor that does not set it itself."""

    default: Preference = Preference()
    #: By the profile's name.
    profiles: Mapping[str, Preference] = field(default_factory=dict)


def preferences(
    profiles: Mapping[str, Mapping[str, str]], defaults: Mapping[str, str]
) -> Preferences:
    """Return the part of a host's profiles and defaults that the fit needs.

    :param profiles: knob texts by profile name.
    :param defaults: knob texts.
    """
    return Preferences(
        _preference(defaults),
        {
            name: found
            for name, texts in profiles.items()
            if any(found := _preference(texts))
        },
    )


def _preference(texts: Mapping[str, str]) -> Preference:
    return Preference(
        texts.get(LOCALITY, '').strip() or None,
        texts.get(POLICY, '').strip() or None,
    )


def locality(
    extra_specs: Mapping[str, str], preferred: Preferences
) -> LocalityDemand | None:
    """Return the locality that a flavor requests, or else its profile, or
    else the host's defaults, as the plan reads them. Only a flavor's own
    locality can be strict; its policy may come from any of the three.
    """
    name = extra_specs.get(PROFILE, '').strip()
    sources = (
        (_preference(extra_specs), ''),
        (preferred.profiles.get(name, Preference()), f'profile {name!r}'),
        (preferred.default, 'default of the host'),
    )
    policy = next(
        (found.policy for found, _ in sources if found.policy in _POLICIES),
        None,
    )
    for found, origin in sources:
        text = found.locality
        if text not in _LEVELS:
            continue
        strict = not origin and policy == 'strict' and text == 'l3'
        asked = f'{LOCALITY}={text}' + (f' ({origin})' if origin else '')
        return LocalityDemand(Locality(text), strict, asked)
    return None


def current() -> FitContext:
    """Return what applies to the current call."""
    fit_context = _call.get()
    if fit_context is not None:
        return fit_context
    return _process[0] if _process else FitContext()


def known() -> bool:
    """Return whether anybody has set a context."""
    return bool(_process) or _call.get() is not None


@contextlib.contextmanager
def applied(what: FitContext) -> Iterator[None]:
    """Apply ``what`` to the calls within."""
    token = _call.set(what)
    try:
        yield
    finally:
        _call.reset(token)


def for_process(what: FitContext | None) -> None:
    """Apply ``what`` to all calls of this process; None: no longer."""
    _process[:] = [] if what is None else [what]
