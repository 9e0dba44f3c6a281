"""What becomes of each guest knob, and what proves it.

Derived, never written down: what a knob becomes is what its scenarios'
plans want, and what audits it are the rules for those addresses.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from kvm_tuning.core import device_models, drift
from kvm_tuning.core.audit.rules import settings
from kvm_tuning.core.audit.rules.table import RULES
from kvm_tuning.core.edit import TEXT, Promise, Removal
from kvm_tuning.core.effects import Absent, Element, Scope, Setting
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.observed import Memory, Observed, Unknown
from kvm_tuning.core.plan import Hook, Plan
from kvm_tuning.core.site import Site

_EMPTY = etree.Element('domain')
_UNSEEN = Unknown('nobody has looked')
_BLIND = Observed(0, _UNSEEN, Memory(_UNSEEN, _UNSEEN))
_NOWHERE = Inventory((), (), 0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario of a knob: refused, or a plan that keeps it."""

    knob: str
    #: None: refused.
    plan: Plan | None
    #: The plan of the same without the knob; None: there is none.
    without: Plan | None = None
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One knob."""

    knob: Knob
    hook: str
    #: What its plans want, in short.
    becomes: tuple[str, ...]
    #: How many scenarios keep it, and refuse it.
    kept: int
    refused: int
    #: Codes of the findings that audit it.
    audited: tuple[str, ...]
    #: What of ``becomes`` no rule knows.
    unknown: tuple[str, ...]


class _Part(NamedTuple):
    """One address that a plan wants something at."""

    address: str
    wanted: str
    #: The address without what names the device.
    short: str
    #: The code of the findings about it; None: no rule knows it.
    code: str | None


def rows(
    hooks: Sequence[Hook], scenarios: Iterable[Scenario]
) -> tuple[Row, ...]:
    """Return a row for each knob of ``hooks``."""
    of_knob: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        of_knob.setdefault(scenario.knob, []).append(scenario)
    return tuple(
        _row(hook, knob, of_knob.get(knob.name, []))
        for hook in hooks
        for knob in hook.knobs
    )


def missing(found: Iterable[Row]) -> Iterator[str]:
    """Yield what a row lacks: a scenario each way, and an audit or the
    reason why there cannot be one.
    """
    for row in found:
        name, reason = row.knob.name, row.knob.unaudited
        if not row.kept:
            yield f'{name}: no scenario keeps it'
        if not row.refused:
            yield f'{name}: no scenario refuses it'
        if reason is None and not row.audited:
            yield f'{name}: no rule audits it, and nothing says why not'
        if reason is None:
            for address in row.unknown:
                yield f'{name}: no rule audits {address}'
        if reason is not None and row.audited and not row.unknown:
            yield f'{name}: it is audited, so why say that it cannot be?'


def _row(hook: Hook, knob: Knob, scenarios: Sequence[Scenario]) -> Row:
    parts = {part for each in scenarios for part in _parts_of(hook, each)}
    return Row(
        knob,
        hook.name,
        tuple(sorted({part.short for part in parts})),
        sum(scenario.plan is not None for scenario in scenarios),
        sum(scenario.plan is None for scenario in scenarios),
        tuple(sorted({part.code for part in parts if part.code})),
        tuple(sorted({part.short for part in parts if not part.code})),
    )


def _parts_of(hook: Hook, scenario: Scenario) -> frozenset[_Part]:
    """Return what comes of a knob in one scenario.

    That is what its own hook wants otherwise without the knob. A knob that
    only decides whether there is a plan has all that its hook wants; one
    whose hook wants nothing, such as a profile, what others make of it.
    """
    plan = scenario.plan
    if plan is None or scenario.site is None:
        return frozenset()
    guest = plan.guest
    if not hook.as_it_is:
        guest = device_models.applied(plan.request, guest)
    own = _parts(
        hook.effects(plan.request, guest, plan.placement, scenario.site)
    )
    before: frozenset[_Part] = frozenset()
    if scenario.without is not None:
        before = _parts(scenario.without.effects)
    return own - before or own or _parts(plan.effects) - before


def _parts(effects: Iterable[object]) -> frozenset[_Part]:
    return frozenset(part for each in effects for part in _split(each))


def _split(effect: object) -> Iterator[_Part]:
    if isinstance(effect, Setting):
        first, _, last = effect.name.rpartition('/')
        name = last if effect.scope is Scope.INSTANCE else first or last
        yield _Part(
            f'{effect.kind}/{effect.name}',
            effect.value,
            f'{effect.kind} {name}',
            _code(effect),
        )
    if not isinstance(effect, Element | Absent):
        return
    promise: Promise | Removal = Removal(effect.path)
    if isinstance(effect, Element):
        wanted = dict(effect.attributes)
        if effect.text is not None:
            wanted[TEXT] = effect.text
        promise = Promise(effect.path, wanted, {})
    for point in drift.points(_EMPTY, promise, live=False):
        path, name = point.pattern
        rule = RULES.get(point.pattern)
        yield _Part(
            point.address,
            point.wanted,
            _short(path, name),
            None if rule is None else rule.code,
        )


def _code(setting: Setting) -> str | None:
    """Return the code of the findings about a setting; None: there are none,
    or it is inside of the guest, of which they can say nothing.
    """
    rule = settings.RULES.get(setting.kind)
    if rule is None or setting.scope is Scope.GUEST:
        return None
    return rule(setting, _BLIND, _NOWHERE).code


def _short(path: str, name: str) -> str:
    whole = name in ('', TEXT) or path.endswith('/source/address')
    return path if whole else f'{path}/@{name}'
