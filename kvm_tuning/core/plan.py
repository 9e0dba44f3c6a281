"""The plan for one guest: what must hold, what it holds, what to know.

A pure function of the hooks, the request, the guest and the site. Making a
plan changes nothing, so a dry run is a plan that is not applied.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from kvm_tuning.core import device_models, given
from kvm_tuning.core.consequences import resize
from kvm_tuning.core.demands import CellDemand, Demand
from kvm_tuning.core.effects import (
    Absent,
    Consequence,
    Effect,
    Element,
    Hold,
    Setting,
)
from kvm_tuning.core.exceptions import (
    HookConflict,
    HookFailed,
    KvmTuningError,
    RequestError,
    raise_all,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Knob
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.nova import spec_names
from kvm_tuning.core.placement import Placement, Unkept
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Site
from kvm_tuning.core.solver import present, solve, unseen
from kvm_tuning.core.xml import paths

_P = ParamSpec('_P')
_T = TypeVar('_T')


class Hook(Protocol):
    """What a plan needs of a hook; see :class:`kvm_tuning.hooks.base.Hook`."""

    @property
    def name(self) -> str: ...

    @property
    def knobs(self) -> Sequence[Knob]: ...

    @property
    def as_it_is(self) -> bool: ...

    def wanted(self, request: Request) -> bool: ...

    def check(
        self, request: Request
    ) -> Iterable[RequestError | Consequence]: ...

    def demands(self, request: Request, guest: Guest) -> Iterable[Demand]: ...

    def effects(
        self,
        request: Request,
        guest: Guest,
        placement: Placement,
        site: Site,
    ) -> Iterable[Effect | Consequence | Hold | Unkept]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request amounts to on one site."""

    request: Request
    guest: Guest
    demands: tuple[Demand, ...]
    placement: Placement
    effects: tuple[Effect, ...]
    claim: Claim
    consequences: tuple[Consequence, ...]
    unkept: tuple[Unkept, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The part of a plan that depends on the request alone: it is the same for
    every guest and host, so it can be cached with the request.
    """

    request: Request
    #: Those with at least one requested knob.
    hooks: tuple[Hook, ...]
    consequences: tuple[Consequence, ...]
    placed: bool


def prepare(
    hooks: Sequence[Hook], request: Request, placed: bool = False
) -> Prepared:
    """Return the part of a plan that depends on the request alone; for the
    parameters see :func:`make`.

    :raises RequestError: the request contradicts itself.
    """
    active = [hook for hook in hooks if hook.wanted(request)]
    if placed:
        active = ours(active, request)
    consequences = _checked(active, request)
    if not placed:
        knobs = [knob.name for hook in hooks for knob in hook.knobs]
        consequences += spec_names.not_done(request.extra_specs, knobs)
    return Prepared(request, tuple(active), tuple(consequences), placed)


def make(
    hooks: Sequence[Hook],
    request: Request,
    guest: Guest,
    site: Site,
    placed: bool = False,
) -> Plan:
    """Return the plan for ``guest``.

    ``site.ledger`` must not contain the guest's own claims.

    :param placed: somebody else, such as Nova, has chosen its pCPUs, cells,
        pages and devices, and has applied Nova's own keys: the placement is
        read from the guest, and only our own keys are planned.
    :raises RequestError: the request contradicts itself or the guest.
    :raises Refused: the site cannot keep a promise.
    :raises HookError: a hook is broken, or two hooks want different things.
    """
    return of(prepare(hooks, request, placed), guest, site)


def of(prepared: Prepared, guest: Guest, site: Site) -> Plan:
    """Return the plan for ``guest``, as :func:`make` does."""
    request, active = prepared.request, prepared.hooks
    placed = prepared.placed
    consequences = list(prepared.consequences)
    if active:
        guest.verify()
    # Whoever placed it gave it its devices, too.
    modelled = guest if placed else device_models.applied(request, guest)

    def seen(hook: Hook) -> Guest:
        return guest if hook.as_it_is else modelled

    demands: list[Demand] = []
    for hook in active:
        demands += _call(hook, hook.demands, request, seen(hook))
    if placed:
        cells = request.topology
        placement = given.read(
            guest,
            demands,
            site,
            cells is not None and cells.emulator_threads_policy == 'isolate',
        )
    elif demands:
        demands += present.demands(request, guest, demands, site.inventory)
        placement = solve.solve(demands, site)
    else:
        placement = Placement()
    effects: list[Effect] = []
    unkept = list(placement.unkept)
    held = {a for each in placement.devices.values() for a in each}
    owners: list[str] = []
    for hook in active:
        for item in _call(
            hook, hook.effects, request, seen(hook), placement, site
        ):
            if isinstance(item, Consequence):
                consequences.append(item)
            elif isinstance(item, Unkept):
                unkept.append(item)
            elif isinstance(item, Hold):
                held.add(item.device)
            else:
                effects.append(item)
                owners.append(hook.name)
    merged = _merge(effects, owners)
    consequences += unseen.consequences(
        guest, placement, merged, site.inventory
    )
    consequences += resize(request, placement, merged)
    return Plan(
        request=request,
        guest=guest,
        demands=tuple(demands),
        placement=placement,
        effects=merged,
        claim=_claim(guest, placement, demands, held),
        consequences=tuple(dict.fromkeys(consequences)),
        unkept=tuple(unkept),
    )


def ours(hooks: Iterable[Hook], request: Request) -> list[Hook]:
    """Return the hooks that own at least one requested key that is not Nova's:
    those that apply to a guest that Nova has placed.
    """
    return [
        hook
        for hook in hooks
        if not hook.knobs
        or any(
            not knob.nova and knob.name in request.names for knob in hook.knobs
        )
    ]


def check(hooks: Sequence[Hook], request: Request) -> list[Consequence]:
    """Return what to know about a request before there is any guest.

    :raises RequestError: everything in it that contradicts itself.
    """
    return _checked([h for h in hooks if h.wanted(request)], request)


def _checked(hooks: Iterable[Hook], request: Request) -> list[Consequence]:
    errors: list[RequestError] = []
    consequences: list[Consequence] = []
    for hook in hooks:
        for item in _call(hook, hook.check, request):
            if isinstance(item, Consequence):
                consequences.append(item)
            else:
                errors.append(item)
    raise_all(errors)
    return consequences


def _call(
    hook: Hook,
    method: Callable[_P, Iterable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> list[_T]:
    """Return what a hook yields; report any other exception as the
    hook's bug.
    """
    try:
        return list(method(*args, **kwargs))
    except KvmTuningError:
        raise
    except Exception as exc:
        raise HookFailed(
            f'hook {hook.name!r} failed with {type(exc).__name__}: {exc}'
        ) from exc


def _merge(
    effects: Sequence[Effect], owners: Sequence[str]
) -> tuple[Effect, ...]:
    """Return the effects, with those on one element joined.

    :raises HookConflict: two values at one address, or a value below what must
        be absent.
    """
    merged: dict[object, Effect] = {}
    values: dict[tuple[str, str], str] = {}
    absent: list[str] = []
    for effect in effects:
        if isinstance(effect, Element):
            known = merged.get(effect.path)
            joined = _joined(known, effect)
            if joined is None:
                raise _conflict(effects, owners)
            merged[effect.path] = joined
            continue
        merged[effect] = effect
        if isinstance(effect, Absent):
            absent.append(effect.path)
            continue
        address = effect.kind, effect.name
        if values.setdefault(address, effect.value) != effect.value:
            raise _conflict(effects, owners)
    for outer in absent:
        for inner in merged:
            if isinstance(inner, str) and _below(inner, outer):
                raise HookConflict(
                    f'{outer} must be absent, but {inner} must be there'
                )
    return tuple(merged.values())


def _joined(known: Effect | None, effect: Element) -> Element | None:
    """Return both as one; None when they contradict each other."""
    if not isinstance(known, Element):
        return effect
    attributes = dict(known.attributes)
    for name, value in effect.attributes.items():
        if attributes.setdefault(name, value) != value:
            return None
    text = known.text if effect.text is None else effect.text
    if known.text not in (None, text):
        return None
    return Element(effect.path, attributes, text, known.make or effect.make)


def _conflict(
    effects: Sequence[Effect], owners: Sequence[str]
) -> HookConflict:
    """Return the first conflict among the effects."""
    wanted: dict[tuple[str, str], tuple[str | None, str]] = {}
    for effect, owner in zip(effects, owners, strict=True):
        for address, value in _addresses(effect):
            before = wanted.setdefault(address, (value, owner))
            if before[0] != value:
                return HookConflict(
                    f'hooks {before[1]!r} and {owner!r} want {before[0]!r} '
                    f'and {value!r} at {"/".join(filter(None, address))}'
                )
    raise AssertionError('there is no conflict')


def _addresses(
    effect: Effect,
) -> list[tuple[tuple[str, str], str | None]]:
    """Return each address of an effect with the value that it wants there."""
    if isinstance(effect, Element):
        path = effect.path
        found = [((path, n), v) for n, v in effect.attributes.items()]
        if effect.text is not None:
            found.append(((path, ''), effect.text))
        return found
    if isinstance(effect, Setting):
        return [((effect.kind, effect.name), effect.value)]
    return []


def _below(path: str, above: str) -> bool:
    inner, outer = paths.steps(path), paths.steps(above)
    if inner[0].tag != outer[0].tag:
        return False
    return len(inner) >= len(outer) and all(
        i.tag == o.tag and set(o.keys) <= set(i.keys)
        for i, o in zip(inner, outer, strict=False)
    )


def _claim(
    guest: Guest,
    placement: Placement,
    demands: Sequence[Demand],
    held: set[str],
) -> Claim:
    """Return what the guest holds once the plan is applied."""
    pages: dict[tuple[int, int], int] = {}
    memory: dict[int, int] = {}
    shared: set[int] = set()
    shared_vcpus = 0
    of_cell = {d.cell: d for d in demands if isinstance(d, CellDemand)}
    for cell in placement.cells:
        if cell.page_kib is not None:
            key = (cell.host_cell, cell.page_kib)
            pages[key] = pages.get(key, 0) + cell.pages
        else:
            memory[cell.host_cell] = (
                memory.get(cell.host_cell, 0) + cell.memory_kib
            )
        if cell.shared:
            shared |= cell.shared
            demand = of_cell.get(cell.cell)
            shared_vcpus += (
                _vcpus(guest, cell.cell) - len(cell.pins)
                if demand is None
                else len(demand.vcpus) - len(demand.dedicated)
            )
    if placement.memory_kib is not None:
        memory = dict(placement.memory_kib)
    return Claim(
        owner=guest.owner,
        name=guest.name,
        pcpus=placement.held,
        shared=frozenset(shared),
        shared_vcpus=shared_vcpus,
        pages=pages,
        memory_kib=memory,
        devices=frozenset(held),
    )


def _vcpus(guest: Guest, cell: int) -> int:
    """Return how many vCPUs a cell of the domain has."""
    return next(
        (len(c.cpus) for c in guest.cells if c.id == cell), guest.vcpus
    )
