"""The fit of a guest on a host, computed once for filter and weigher.

The answer is kept on Nova's ``HostState`` with what it depends on. It counts
only as long as all of that is the same: the host may have been consumed by
another guest, or updated, between the two.
"""

import operator
from typing import Any, NamedTuple

import nova.conf

from kvm_tuning.adapters.nova.fit import context, fit
from kvm_tuning.adapters.nova.fit.context import FitContext
from kvm_tuning.adapters.nova.fit.fit import Solution
from kvm_tuning.adapters.nova.fit.host_cells import read

CONF = nova.conf.CONF

_KEPT = '_kvm_tuning_answer'


class _Question(NamedTuple):
    """What an answer depends on."""

    #: Objects that nobody changes, compared by identity.
    same: tuple[Any, ...]
    #: What consuming a host changes, and options, compared by value.
    equal: tuple[Any, ...]

    def repeats(self, other: '_Question') -> bool:
        """Return whether it is the same question."""
        return all(map(operator.is_, self.same, other.same)) and (
            self.equal == other.equal
        )


class _Answer(NamedTuple):
    question: _Question
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
    question = _Question(
        (there, wanted, requested, mapping, limits, pci),
        (
            what,
            CONF.compute.packing_host_numa_cells_allocation_strategy,
            [_usage(cell) for cell in read(there, 'cells')],
            [dict(pool) for pool in pci.pools] if pci else None,
        ),
    )
    kept = getattr(host_state, _KEPT, None)
    if kept is not None and kept.question.repeats(question):
        answer: Solution | None = kept.found
        return answer
    with context.applied(what):
        found = fit.search(there, wanted, mapping, limits, requests, pci)
    setattr(host_state, _KEPT, _Answer(question, found))
    return found


def _usage(cell: Any) -> tuple[Any, ...]:
    """Return what guests take of a host cell, as a copy.

    What the host reports itself comes with a new topology.
    """
    return (
        frozenset(read(cell, 'pinned_cpus')),
        read(cell, 'cpu_usage'),
        read(cell, 'memory_usage'),
        [read(pages, 'used') for pages in read(cell, 'mempages')],
    )
