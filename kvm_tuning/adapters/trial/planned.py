"""A plan that libvirt takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import domain
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.exceptions import KvmTuningError, Unsupported
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import by_name
from kvm_tuning.core.placement import Unkept
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.plan import make as make_plan
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks import base
from kvm_tuning.hooks.base import Hook


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the domain's XML with it."""

    plan: Plan
    xml: str


@dataclass(frozen=True, slots=True)
class _Cause:
    """What libvirt does not take, and the request without it."""

    asked: Asked
    without: Request


def make(
    hooks: Sequence[Hook],
    request: Request,
    found: Domain,
    site: Site,
    judge: Judge,
) -> Planned:
    """Return the plan for a domain, judged by libvirt; where nobody can
    judge, a consequence of the plan says so.

    :raises Unsupported: libvirt refuses the planned domain, or would leave
        out a part of it.
    :raises KvmTuningError: as :func:`kvm_tuning.core.plan.make`.
    """
    unkept: list[Unkept] = []
    while True:
        made = make_plan(hooks, request, found.guest, site)
        made = replace(made, unkept=(*made.unkept, *unkept))
        xml = domain.tune(found, made)
        if xml == found.xml:
            return Planned(made, xml)
        verdict = judge.judge(found, xml)
        if not verdict.refused:
            break
        why = f'libvirt refuses the planned domain: {verdict.refused}'
        cause = _cause(hooks, request, found, site, judge)
        if cause is None:
            raise Unsupported(why)
        # Raises for a promise.
        unkept.append(base.unkept(cause.asked, 'not set', why))
        request = cause.without
    if verdict.not_judged:
        made = replace(
            made,
            consequences=(*made.consequences, not_judged(verdict.not_judged)),
        )
    return Planned(made, xml)


def not_judged(why: str) -> Consequence:
    """Return what a plan says that no libvirt has judged."""
    return Consequence(
        'not-judged',
        'operator',
        f'not judged: no libvirt has tried the planned domain, {why}',
    )


def _cause(
    hooks: Sequence[Hook],
    request: Request,
    found: Domain,
    site: Site,
    judge: Judge,
) -> _Cause | None:
    """Return the knob without which libvirt takes the plan; None when there
    is not one alone. A preference goes before a promise.
    """
    knobs = {knob.name: knob for hook in hooks for knob in hook.knobs}
    for asked in sorted(request.asked.values(), key=lambda each: each.promise):
        key = asked.key
        knob = by_name(knobs, key)
        try:
            less = request.without(key, None if knob is None else knob.image)
            made = make_plan(hooks, less, found.guest, site)
            xml = domain.tune(found, made)
        except KvmTuningError:
            continue
        if not less.asked and _resizes(request, found.guest):
            # Without it nothing is tuned, and the size may be the cause.
            continue
        verdict = judge.judge(found, xml)
        if not verdict.refused and not verdict.not_judged:
            return _Cause(asked, less)
    return None


def _resizes(request: Request, guest: Guest) -> bool:
    return (guest.vcpus, guest.memory_kib) != (
        request.vcpus,
        request.memory_mib * 1024,
    )
