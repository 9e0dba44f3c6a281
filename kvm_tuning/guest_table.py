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
    #: Of a refusal: whether it is of a valid value of the knob, and of nothing
    #: that is refused without it, too.
    own: bool = True


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
    #: How many of the refusals are not of a valid value of the knob.
    others: int = 0
    #: What of ``unknown`` the recording of a real QEMU has.
    recorded: tuple[str, ...] = ()


class _Part(NamedTuple):
    """One address that a plan wants something at."""

    address: str
    wanted: str
    #: The address without what names the device.
    short: str
    #: The code of the findings about it; None: no rule knows it.
    code: str | None
    #: Whether a recorded domain has it.
    recorded: bool


def rows(
    hooks: Sequence[Hook],
    scenarios: Iterable[Scenario],
    recordings: Sequence[etree._Element] = (),
) -> tuple[Row, ...]:
    """Return a row for each knob of ``hooks``.

    :param recordings: ``<domain>`` of guests that a real QEMU ran.
    """
    of_knob: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        of_knob.setdefault(scenario.knob, []).append(scenario)
    return tuple(
        _row(hook, knob, of_knob.get(knob.name, []), recordings)
        for hook in hooks
        for knob in hook.knobs
    )


def missing(found: Iterable[Row]) -> Iterator[str]:
    """Yield what a row lacks: a scenario each way, and an audit or the
    reason why there cannot be one.
    """
    for row in found:
        yield from _missing_scenarios(row)
        yield from _missing_audit(row)


def _missing_scenarios(row: Row) -> Iterator[str]:
    name, reason = row.knob.name, row.knob.never_refused
    own = row.refused - row.others
    if not row.kept:
        yield f'{name}: no scenario keeps it'
    if not row.refused:
        yield f'{name}: no scenario refuses it'
    elif reason is None and not own:
        yield (
            f'{name}: no scenario refuses a valid value of it, only a '
            f'malformed one or one that is not the cause: add one, or say in '
            f'never_refused= why there is none'
        )
    if reason is not None and own:
        yield f'{name}: a valid value is refused, so why say that none is?'


def _missing_audit(row: Row) -> Iterator[str]:
    name, reason = row.knob.name, row.knob.unaudited
    if reason is None and not row.audited:
        yield f'{name}: no rule audits it, and nothing says why not'
    if reason is None:
        for address in row.unknown:
            yield f'{name}: no rule audits {address}'
    if reason is not None and row.audited and not row.unknown:
        yield f'{name}: it is audited, so why say that it cannot be?'
    if reason is not None:
        for address in row.recorded:
            yield (
                f'{name}: a recorded QEMU runs with {address}, so why '
                f'say that it cannot be audited?'
            )


def _row(
    hook: Hook,
    knob: Knob,
    scenarios: Sequence[Scenario],
    recordings: Sequence[etree._Element],
) -> Row:
    parts = {
        part
        for each in scenarios
        for part in _parts_of(hook, each, recordings)
    }
    unknown = [part for part in parts if not part.code]
    return Row(
        knob,
        hook.name,
        tuple(sorted({part.short for part in parts})),
        sum(scenario.plan is not None for scenario in scenarios),
        sum(scenario.plan is None for scenario in scenarios),
        tuple(sorted({part.code for part in parts if part.code})),
        tuple(sorted({part.short for part in unknown})),
        sum(each.plan is None and not each.own for each in scenarios),
        tuple(sorted({part.short for part in unknown if part.recorded})),
    )


def _parts_of(
    hook: Hook, scenario: Scenario, recordings: Sequence[etree._Element]
) -> frozenset[_Part]:
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
        hook.effects(plan.request, guest, plan.placement, scenario.site),
        recordings,
    )
    before: frozenset[_Part] = frozenset()
    if scenario.without is not None:
        before = _parts(scenario.without.effects, recordings)
    return own - before or own or _parts(plan.effects, recordings) - before


def _parts(
    effects: Iterable[object], recordings: Sequence[etree._Element]
) -> frozenset[_Part]:
    return frozenset(
        part for each in effects for part in _split(each, recordings)
    )


def _split(
    effect: object, recordings: Sequence[etree._Element]
) -> Iterator[_Part]:
    if isinstance(effect, Setting):
        first, _, last = effect.name.rpartition('/')
        name = last if effect.scope is Scope.INSTANCE else first or last
        yield _Part(
            f'{effect.kind}/{effect.name}',
            effect.value,
            f'{effect.kind} {name}',
            _code(effect),
            False,
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
            any(_has(each, path, name) for each in recordings),
        )


def _has(root: etree._Element, path: str, name: str) -> bool:
    """Return whether a domain has anything at an address without keys."""
    return any(
        name in ('', TEXT) or element.get(name) is not None
        for element in root.iterfind(path)
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
