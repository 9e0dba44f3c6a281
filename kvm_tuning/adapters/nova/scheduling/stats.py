"""What a compute host reports to the scheduler, in its ``stats``.

``ComputeNode.stats`` is a mapping of texts that reaches the scheduler's
``HostState.stats`` unchanged: no object version depends on it, and hosts
without the extension have no such key.
"""

from collections.abc import Mapping
from functools import lru_cache
import json
from typing import NamedTuple

from kvm_tuning.adapters.nova.fit.context import Preference, Preferences
from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core import cpuset

#: Keys of the stats: L3 domains as CPU lists, the locality that the host
#: prefers and its policy, and those of its profiles: a JSON object of
#: ``[locality, policy]`` by name.
L3 = 'kvm_tuning_l3'
LOCALITY = 'kvm_tuning_locality'
POLICY = 'kvm_tuning_locality_policy'
PROFILES = 'kvm_tuning_profiles'


def write(domains: Domains, preferred: Preferences) -> dict[str, str]:
    """Return the stats of a host."""
    return {
        L3: ';'.join(cpuset.format(domain) for domain in domains),
        LOCALITY: preferred.default.locality or '',
        POLICY: preferred.default.policy or '',
        PROFILES: json.dumps(preferred.profiles, sort_keys=True),
    }


class Texts(NamedTuple):
    """What a host with the extension reports. A host of an earlier release
    reports no profiles.
    """

    l3: str
    locality: str | None
    policy: str | None
    profiles: str


def texts(stats: Mapping[str, str]) -> Texts | None:
    """Return what a host reports; None for a host without the extension."""
    l3 = stats.get(L3)
    if l3 is None:
        return None
    return Texts(
        l3, stats.get(LOCALITY), stats.get(POLICY), stats.get(PROFILES) or ''
    )


def read(stats: Mapping[str, str]) -> tuple[Domains, Preferences] | None:
    """Return a host's L3 domains and what it prefers; None for a host without
    the extension, or one whose stats cannot be read.
    """
    found = texts(stats)
    return None if found is None else parsed(found)


def parsed(found: Texts) -> tuple[Domains, Preferences] | None:
    """Return what the texts of a host mean, as :func:`read` does."""
    try:
        domains = _domains(found.l3)
    except ValueError:
        return None
    return domains, _preferences(
        found.locality or None, found.policy or None, found.profiles
    )


@lru_cache(maxsize=1024)
def _domains(text: str) -> Domains:
    return tuple(cpuset.parse(part) for part in text.split(';') if part)


@lru_cache(maxsize=1024)
def _preferences(
    locality: str | None, policy: str | None, profiles: str
) -> Preferences:
    return Preferences(Preference(locality, policy), _profiles(profiles))


def _profiles(text: str) -> dict[str, Preference]:
    """Return the profiles of a report, without what is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: Preference(*values)
        for name, values in found.items()
        if isinstance(values, list)
        and len(values) == 2
        and all(value is None or isinstance(value, str) for value in values)
    }
