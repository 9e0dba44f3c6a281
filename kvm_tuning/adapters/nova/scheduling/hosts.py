"""Nova's hosts as its scheduler sees them, with what their stats report."""

import contextlib
import functools
from typing import Any

from nova.scheduler import host_manager

from kvm_tuning.adapters.nova import signatures
from kvm_tuning.adapters.nova.fit import context, patch
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.fit.host_cells import given, read
from kvm_tuning.adapters.nova.scheduling import answers, stats

_NAME = '_locked_consume_from_request'

#: How often the wrapper was called.
calls = {_NAME: 0}

_stock: list[Any] = []


def fit_context(host_state: Any, spec: Any) -> FitContext | None:
    """Return what a guest requests of a host; None for a host without the
    extension, which keeps Nova's own answer.
    """
    # Nova sets it with the first update of a host.
    reported = stats.texts(getattr(host_state, 'stats', None) or {})
    if reported is None:
        return None
    specs = given(read(spec, 'flavor'), 'extra_specs') or {}
    return _context(reported, *map(specs.get, context.KEYS))


@functools.lru_cache(maxsize=1024)
def _context(
    reported: stats.Texts, *requested: str | None
) -> FitContext | None:
    """Return the context of alike hosts and flavors, the same object.

    :param requested: the values of :data:`context.KEYS`.
    """
    known = stats.parsed(reported)
    if known is None:
        return None
    domains, preferred = known
    specs = {
        key: text
        for key, text in zip(context.KEYS, requested, strict=True)
        if text is not None
    }
    return FitContext(domains, context.locality(specs, preferred))


def install() -> None:
    """Let this scheduler answer as the claims of its hosts will.

    :raises Unsupported: this Nova is not one that we work with.
    """
    signatures.check(signatures.SCHEDULER)
    patch.install()
    if _stock:
        return
    original = getattr(host_manager.HostState, _NAME)
    _stock.append(original)

    @functools.wraps(original)
    def consume(self: Any, spec_obj: Any) -> Any:
        calls[_NAME] += 1
        answers.forget(self)
        what = fit_context(self, spec_obj)
        with context.applied(what) if what else contextlib.nullcontext():
            return original(self, spec_obj)

    setattr(host_manager.HostState, _NAME, consume)


def uninstall() -> None:
    """Restore Nova's own scheduler."""
    patch.uninstall()
    if _stock:
        setattr(host_manager.HostState, _NAME, _stock.pop())
