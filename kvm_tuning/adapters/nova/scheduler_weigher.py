"""Prefers the host on which a guest stays most compact.

In nova.conf of nova-scheduler::

    [filter_scheduler]
    weight_classes = nova.scheduler.weights.all_weighers,\
kvm_tuning.adapters.nova.scheduler_weigher.KvmTuningWeigher

The hosts are ranked, not measured: the best one weighs 1, the worst 0, times
:data:`MULTIPLIER`, which is above all of Nova's own weighers together.
"""

from typing import Any

from nova.scheduler import weights

from kvm_tuning.adapters.nova.fit.host_cells import read
from kvm_tuning.adapters.nova.scheduling import answers, hosts
from kvm_tuning.adapters.nova.scheduling.score import Score
from kvm_tuning.adapters.nova.scheduling.score import score as score_of

#: Nova's own weighers have multipliers of 1 (except the build failures'
#: 1000000, which still counts first).
MULTIPLIER = 1000.0


class KvmTuningWeigher(weights.BaseHostWeigher):
    """See the module."""

    def weight_multiplier(self, host_state: Any) -> float:
        """Return how much the rank counts."""
        return MULTIPLIER

    def weigh_objects(
        self, weighed_obj_list: Any, weight_properties: Any
    ) -> list[float]:
        """Return a weight for each host, higher is better; equal weights where
        none of them can be distinguished.
        """
        scores = [
            _score(each.obj, weight_properties) for each in weighed_obj_list
        ]
        ranked = sorted({score for score in scores if score is not None})
        places = {score: -float(i) for i, score in enumerate(ranked)}
        worst = -float(len(ranked))
        return [worst if score is None else places[score] for score in scores]

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        """Never called: hosts are compared with each other."""
        raise NotImplementedError


def _score(host_state: Any, spec: Any) -> Score | None:
    """Return the score of a host; None where there is nothing to compare."""
    wanted = read(spec, 'numa_topology')
    there = host_state.numa_topology
    what = hosts.fit_context(host_state, spec)
    if what is None or not wanted or not there:
        return None
    candidates = host_state.allocation_candidates
    found = answers.find(
        host_state,
        spec,
        what,
        candidates[0]['mappings'] if candidates else {},
        host_state.limits.get('numa_topology'),
    )
    return None if found is None else score_of(found)
