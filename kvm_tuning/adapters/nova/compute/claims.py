"""Wrap Nova's claim, where a guest gets its pins or is refused.

It is wrapped for two reasons: the fit that it calls sees neither the flavor
nor the host's L3 domains, and a host that cannot keep a promise has to refuse
here, where Nova still tries the next one.
"""

import functools
import logging
from typing import Any

from nova.compute import claims

from kvm_tuning.adapters.nova.compute import events, faults, overlaps, timing
from kvm_tuning.adapters.nova.fit import context, fit, patch
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.core.exceptions import KvmTuningError

LOG = logging.getLogger(__name__)

_NAME = '_test_numa_topology'

#: How often the wrapper was called.
calls = {_NAME: 0}

_stock: list[Any] = []


def install() -> None:
    """Have claims in this process use the solver."""
    patch.install()
    if _stock:
        return
    original = getattr(claims.Claim, _NAME)
    _stock.append(original)

    @functools.wraps(original)
    def test(self: Any, compute_node: Any, limit: Any) -> Any:
        calls[_NAME] += 1
        # Not every tracker has a driver, and not every driver is ours.
        driver = getattr(self.tracker, 'driver', None)
        tuning = getattr(driver, '_kvm_tuning', None)
        if tuning is None:
            return original(self, compute_node, limit)
        return _test(original, tuning, self, compute_node, limit)

    setattr(claims.Claim, _NAME, test)


def uninstall() -> None:
    """Restore Nova's own claims."""
    patch.uninstall()
    if _stock:
        setattr(claims.Claim, _NAME, _stock.pop())


def _test(
    original: Any, tuning: Any, claim: Any, compute_node: Any, limit: Any
) -> Any:
    flavor = getattr(claim, 'flavor', None) or claim.instance.flavor
    image = getattr(claim, 'image_meta', None) or claim.instance.image_meta
    specs = flavor.extra_specs if 'extra_specs' in flavor else {}
    node = overlaps.kept_off(compute_node, tuning.overlaps)
    why: list[str] = []
    token = fit.WHY.set(why)
    try:
        what = FitContext(
            tuning.host.domains,
            context.locality(specs or {}, tuning.reader.preferences),
        )
        with (
            timing.told('placed', claim.instance.uuid),
            context.applied(what),
        ):
            refused = original(claim, node, limit)
    finally:
        fit.WHY.reset(token)
    if refused is not None:
        for reason in why[:1]:
            LOG.info('instance %s: %s', claim.instance.uuid, reason)
            events.refused(claim.context, claim.instance, reason)
        return str(refused)
    try:
        with timing.told('checked', claim.instance.uuid):
            tuning.check(flavor, image, claim.claimed_numa_topology)
    except KvmTuningError as error:
        fault = faults.of(error)
        if isinstance(fault, faults.ELSEWHERE):
            told = faults.told(error)
            LOG.info('instance %s: %s', claim.instance.uuid, told)
            events.refused(claim.context, claim.instance, told)
            return faults.shown(error)
        raise fault from error
    return None
