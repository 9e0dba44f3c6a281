"""The scheduler's NUMA filter with the solver's answer.

In nova.conf of nova-scheduler, instead of ``NUMATopologyFilter``::

    [filter_scheduler]
    available_filters = nova.scheduler.filters.all_filters
    available_filters = \
kvm_tuning.adapters.nova.scheduler_filter.KvmTuningFilter
    enabled_filters = ...,KvmTuningFilter

It asks hosts with the extension what their claims will be asked, without the
search through all permutations and without changing the request; hosts
without it are asked as ever.
"""

import functools
import logging
from typing import Any

from nova import objects
from nova.scheduler.filters import numa_topology_filter

from kvm_tuning.adapters.nova.fit.host_cells import given, read
from kvm_tuning.adapters.nova.scheduling import answers, hosts

LOG = logging.getLogger(__name__)


class KvmTuningFilter(numa_topology_filter.NUMATopologyFilter):
    """See the module."""

    def __init__(self) -> None:
        """Install the same answer for the rest of the scheduler."""
        super().__init__()
        hosts.install()

    def host_passes(self, host_state: Any, spec_obj: Any) -> bool:
        """Return whether the guest fits on the host."""
        what = hosts.fit_context(host_state, spec_obj)
        wanted = read(spec_obj, 'numa_topology')
        there = host_state.numa_topology
        if what is None or not wanted or not there:
            return bool(super().host_passes(host_state, spec_obj))
        if not self._satisfies_cpu_policy(
            host_state,
            read(read(spec_obj, 'flavor'), 'extra_specs'),
            read(read(spec_obj, 'image'), 'properties'),
        ):
            return False
        limits = self._limits(host_state, spec_obj)

        # Nova's own filter_candidates makes a text of each, logged or not.
        host_state.allocation_candidates = [
            candidate
            for candidate in host_state.allocation_candidates
            if answers.find(
                host_state, spec_obj, what, candidate['mappings'], limits
            )
        ]
        if not host_state.allocation_candidates:
            LOG.debug(
                'host %s has no room for the cells of instance %s',
                host_state.host,
                spec_obj.instance_uuid,
            )
            return False
        host_state.limits['numa_topology'] = limits
        return True

    def _limits(self, host_state: Any, spec_obj: Any) -> Any:
        ratios = (
            host_state.cpu_allocation_ratio,
            host_state.ram_allocation_ratio,
        )
        networks = given(spec_obj, 'network_metadata')
        if networks:
            limits = _ratios(*ratios).obj_clone()
            limits.network_metadata = networks
            return limits
        return _ratios(*ratios)


@functools.lru_cache(maxsize=64)
def _ratios(cpu: float, ram: float) -> Any:
    """Return the limits of all hosts with these ratios: nobody changes
    them.
    """
    return objects.NUMATopologyLimits(
        cpu_allocation_ratio=cpu, ram_allocation_ratio=ram
    )
