"""What a compute host reports to the scheduler, in its ``stats``.

``ComputeNode.stats`` is a mapping of texts that reaches the scheduler's
``HostState.stats`` unchanged: no object version depends on it, and hosts
without the extension have no such key.
"""

from collections.abc import Mapping
from functools import lru_cache

from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core import cpuset
from kvm_tuning.core.demands import Locality

#: Keys of the stats: L3 domains as CPU lists, and the host's own preference.
L3 = 'kvm_tuning_l3'
LOCALITY = 'kvm_tuning_locality'


def write(domains: Domains, locality: str | None) -> dict[str, str]:
    """Return the stats of a host."""
    return {
        L3: ';'.join(cpuset.format(domain) for domain in domains),
        LOCALITY: locality or '',
    }


def read(stats: Mapping[str, str]) -> tuple[Domains, str | None] | None:
    """Return a host's L3 domains and its preference; None for a host without
    the extension, or one whose stats cannot be read.
    """
    text = stats.get(L3)
    if text is None:
        return None
    try:
        domains = _domains(text)
    except ValueError:
        return None
    locality = stats.get(LOCALITY)
    known = {level.value for level in Locality}
    return domains, locality if locality in known else None


@lru_cache(maxsize=1024)
def _domains(text: str) -> Domains:
    return tuple(cpuset.parse(part) for part in text.split(';') if part)
