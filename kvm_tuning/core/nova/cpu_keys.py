"""The CPU keys of a flavor and an image, combined and checked together.

``resources:PCPU``, ``resources:VCPU`` and the trait ``HW_CPU_HYPERTHREADING``
are Placement's way to say what ``hw:cpu_policy`` and ``hw:cpu_thread_policy``
say; Nova takes either, never both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import re

from kvm_tuning.core.exceptions import ConflictingKnobs, raise_all
from kvm_tuning.core.nova import keys as nova_keys
from kvm_tuning.core.nova.attempts import Attempts
from kvm_tuning.core.nova.keys import Sources
from kvm_tuning.core.wording import asked

_TRAIT = 'HW_CPU_HYPERTHREADING'

# Nova matches only the beginning of a key.
_RESOURCE = re.compile(r'resources(?:[1-9][0-9]*)?:([VP]CPU)')
_TRAIT_KEY = re.compile(rf'trait(?:[1-9][0-9]*)?:{_TRAIT}')

_THREADS_BY_TRAIT = {'forbidden': 'isolate', 'required': 'require'}


@dataclass(frozen=True, slots=True)
class CpuKeys:
    """What the keys about CPUs say, each alone or all combined."""

    #: ``shared``, ``dedicated``, ``mixed``; None when not requested.
    policy: str | None
    #: ``prefer``, ``isolate``, ``require``; None when not requested.
    thread_policy: str | None
    emulator_threads_policy: str | None
    #: vCPUs under realtime scheduling; None when not requested.
    realtime: frozenset[int] | None
    #: vCPUs that get a pCPU of their own; None when not requested.
    dedicated: frozenset[int] | None


def read(sources: Sources, vcpus: int, attempts: Attempts) -> CpuKeys:
    """Return what each key says on its own."""
    return CpuKeys(
        attempts.of(nova_keys.cpu_policy, sources),
        attempts.of(nova_keys.cpu_thread_policy, sources),
        attempts.of(nova_keys.emulator_threads_policy, sources),
        attempts.of(nova_keys.realtime_vcpus, sources, vcpus),
        attempts.of(nova_keys.dedicated_vcpus, sources, vcpus),
    )


def combine(sources: Sources, vcpus: int, keys: CpuKeys) -> CpuKeys:
    """Return what all keys amount to together, ``dedicated`` filled in.

    :raises ConflictingKnobs: two keys contradict each other.
    :raises SeveralErrors: for more than one such pair.
    """
    attempts = Attempts()
    by_resources = attempts.of(_policy_by_resources, sources, vcpus, keys)
    by_trait = attempts.of(_threads_by_trait, sources, keys)
    attempts.raise_all()
    policy = by_resources or keys.policy
    threads = by_trait or keys.thread_policy
    if policy == 'mixed':
        raise_all(list(_mixed_conflicts(sources, keys)))
        dedicated = keys.dedicated or keys.realtime
    elif policy == 'dedicated':
        raise_all(list(_dedicated_conflicts(sources, keys)))
        dedicated = frozenset(range(vcpus))
    else:
        raise_all(list(_shared_conflicts(sources, keys, threads)))
        dedicated = None
    return CpuKeys(
        policy,
        threads,
        keys.emulator_threads_policy,
        keys.realtime,
        dedicated,
    )


def _policy_by_resources(
    sources: Sources, vcpus: int, keys: CpuKeys
) -> str | None:
    """Return the policy that ``resources:PCPU`` and ``VCPU`` stand for."""
    amounts = {'VCPU': 0, 'PCPU': 0}
    said: dict[str, str] = {}
    for key, text in sources.extra_specs.items():
        if not key.startswith('resources'):
            continue
        match = _RESOURCE.match(key)
        if match is None:
            continue
        try:
            amounts[match[1]] += int(text)
        except ValueError:
            # Placement's own check of the flavor says so.
            continue
        said[match[1]] = asked(key, text, sources.flavor_origin)
    both = [said[name] for name, amount in amounts.items() if amount]
    if not both:
        return None
    if keys.policy:
        both.append(sources.in_either('cpu_policy'))
    if len(both) > 1:
        raise ConflictingKnobs(
            f'{" and ".join(both)} say how vCPUs are placed more than once: '
            f'want one of them'
        )
    if not amounts['PCPU']:
        return 'shared'
    isolated = keys.emulator_threads_policy == 'isolate'
    if amounts['PCPU'] != vcpus + isolated:
        raise ConflictingKnobs(
            f'{both[0]} requests {amounts["PCPU"]} pCPUs: want '
            f'{vcpus + isolated}, one for each of the {vcpus} vCPUs'
            + (' and one for the emulator threads' if isolated else '')
        )
    return 'dedicated'


def _threads_by_trait(sources: Sources, keys: CpuKeys) -> str | None:
    """Return the thread policy that the trait stands for."""
    trait: str | None = None
    said = ''
    for key, text in sources.extra_specs.items():
        if key.startswith('trait') and _TRAIT_KEY.match(key):
            trait, said = text, asked(key, text, sources.flavor_origin)
            break
    if trait is None and _TRAIT in sources.image.traits:
        trait = 'required'
        said = asked(f'trait:{_TRAIT}', trait, sources.image_origin)
    if trait and keys.thread_policy:
        raise ConflictingKnobs(
            f'{said} and {sources.in_either("cpu_thread_policy")} both say '
            f'which threads are used: want one of them'
        )
    return _THREADS_BY_TRAIT.get(trait or '')


def _shared_conflicts(
    sources: Sources, keys: CpuKeys, threads: str | None
) -> Iterator[ConflictingKnobs]:
    why = f'needs dedicated vCPUs, and {_policy_said(sources)}'
    if threads:
        said = (
            sources.in_either('cpu_thread_policy')
            if keys.thread_policy
            else f'the trait {_TRAIT}'
        )
        yield ConflictingKnobs(f'{said} {why}: want hw:cpu_policy=dedicated')
    if keys.emulator_threads_policy == 'isolate':
        said = sources.in_flavor('emulator_threads_policy')
        yield ConflictingKnobs(f'{said} {why}: want share, or dedicated vCPUs')
    if keys.dedicated:
        said = sources.in_flavor('cpu_dedicated_mask')
        yield ConflictingKnobs(f'{said} {why}: want hw:cpu_policy=mixed')
    if keys.realtime:
        said = sources.in_flavor('cpu_realtime')
        yield ConflictingKnobs(
            f'{said} {why}: want hw:cpu_policy=dedicated or mixed'
        )


def _dedicated_conflicts(
    sources: Sources, keys: CpuKeys
) -> Iterator[ConflictingKnobs]:
    if keys.dedicated:
        said = sources.in_flavor('cpu_dedicated_mask')
        yield ConflictingKnobs(
            f'{said} selects some vCPUs, and {_policy_said(sources)}: want '
            'hw:cpu_policy=mixed, or no mask'
        )


def _mixed_conflicts(
    sources: Sources, keys: CpuKeys
) -> Iterator[ConflictingKnobs]:
    said = sources.in_either('cpu_policy')
    want = 'want hw:cpu_dedicated_mask or hw:cpu_realtime with a mask'
    if keys.dedicated and keys.realtime:
        yield ConflictingKnobs(
            f'{sources.in_flavor("cpu_dedicated_mask")} and '
            f'{sources.in_flavor("cpu_realtime")} both say which vCPUs are '
            f'dedicated: {want}, not both'
        )
    if not (keys.dedicated or keys.realtime):
        yield ConflictingKnobs(
            f'{said} does not say which vCPUs are dedicated: {want}'
        )


def _policy_said(sources: Sources) -> str:
    """Return, for a message, what sets the policy."""
    if sources.flavor('cpu_policy') or sources.of_image('cpu_policy'):
        return f'{sources.in_either("cpu_policy")} gives others'
    for key, text in sources.extra_specs.items():
        if _RESOURCE.match(key):
            return f'{asked(key, text, sources.flavor_origin)} gives others'
    return 'hw:cpu_policy is not set'
