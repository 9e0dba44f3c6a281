"""The fit of a guest on a host, computed once for filter and weigher.

The answer is kept on Nova's ``HostState`` with what it depends on. It counts
only as long as all of that is the same: the host may have been consumed by
another guest, or updated, between the two. Both give the host another
topology; of devices, a consumption changes the pools in place, so that it
forgets the answer (:mod:`~kvm_tuning.adapters.nova.scheduling.hosts`).
"""

import operator
import threading
from typing import Any, NamedTuple

import nova.conf

from kvm_tuning.adapters.nova.fit import context, fit
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.fit.fit import Solution
from kvm_tuning.adapters.nova.fit.guest_cell import Guest
from kvm_tuning.adapters.nova.fit.host_cells import read

CONF = nova.conf.CONF

_KEPT = '_kvm_tuning_answer'
_last = threading.local()


class _Answer(NamedTuple):
    #: The objects that it depends on: nobody changes them.
    question: tuple[Any, ...]
    found: Solution | None


def find(
    host_state: Any, spec: Any, what: FitContext, mapping: Any, limits: Any
) -> Solution | None:
    """Return the best seating of a guest on a host, or None.

    :param mapping: an allocation candidate's providers by request group.
    :param limits: ``NUMATopologyLimits``; None for none.
    """
    there, pci = host_state.numa_topology, host_state.pci_stats
    wanted, requested = read(spec, 'numa_topology'), read(spec, 'pci_requests')
    requests = requested.requests if requested else None
    if not (requests and pci):
        # Then all candidates of the host are alike.
        mapping = None
    pack = CONF.compute.packing_host_numa_cells_allocation_strategy
    question = there, wanted, requested, mapping, limits, pci, what, pack
    kept = host_state.__dict__.get(_KEPT)
    if kept is not None and all(map(operator.is_, kept.question, question)):
        answer: Solution | None = kept.found
        return answer
    with context.applied(what):
        found = fit.search(
            there, wanted, mapping, limits, requests, pci, _guest(wanted)
        )
    setattr(host_state, _KEPT, _Answer(question, found))
    return found


def forget(host_state: Any) -> None:
    """Forget the answer of a host that is being consumed."""
    host_state.__dict__.pop(_KEPT, None)


def _guest(wanted: Any) -> Guest:
    """Return what is read of a guest, once for all hosts of a request."""
    kept: tuple[Any, Guest] | None = getattr(_last, 'kept', None)
    if kept is None or kept[0] is not wanted:
        kept = _last.kept = wanted, Guest(wanted)
    return kept[1]
