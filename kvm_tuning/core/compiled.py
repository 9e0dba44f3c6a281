"""Compile a flavor's keys for Nova: what Nova itself must know of our keys.

Nova's PCI tracker assigns VFs by aliases, and its scheduler finds hosts by
traits. Both follow from our keys, so they are derived, not written by hand.
What was derived is recorded in the flavor, in keys that Nova ignores: when
nothing asks for it any more it can be taken back, and what the operator set
is left alone.
"""

from collections.abc import Iterator, Mapping

from kvm_tuning.core import whole
from kvm_tuning.core.exceptions import ConflictingKnobs, raise_all
from kvm_tuning.core.knobs import Knob

ALIAS = 'pci_passthrough:alias'

#: Nova's ``[pci] alias`` for all VFs of NICs that guests may have.
VF_ALIAS = 'kvm-tuning-vf'
VFS = 'kvm:vfs'

#: The trait of every host with the extension.
TRAIT = 'CUSTOM_KVM_TUNING'

#: Every trait that this package ever sets on a host.
TRAITS = (
    TRAIT,
    f'{TRAIT}_L3',
    f'{TRAIT}_VHOST',
    f'{TRAIT}_IO_URING',
    f'{TRAIT}_THP_ALWAYS',
    f'{TRAIT}_THP_MADVISE',
)

#: The record: the derived traits, and the derived part of the aliases, each
#: a list with commas. Nova's filters skip keys of scopes they do not know,
#: and its API validates none of them.
DERIVED_TRAITS = 'derived:kvm_tuning_traits'
DERIVED_ALIAS = 'derived:kvm_tuning_alias'
RECORDS = (DERIVED_ALIAS, DERIVED_TRAITS)

_REQUIRED = 'required'

Knobs = Mapping[str, Knob]


def compile(
    extra_specs: Mapping[str, str], alias: str, knobs: Knobs
) -> dict[str, str]:
    """Return the extra specs with Nova's own keys for ours, and the record
    of what was derived.

    What an earlier compilation derived is derived again, or dropped.
    Compiling twice changes nothing.

    :param alias: the name in Nova's ``[pci] alias`` that stands for the VFs.
    :param knobs: all knobs by name.
    :raises ConflictingKnobs: the flavor excludes a trait that it needs.
    """
    found = stated(extra_specs)
    raise_all(list(contradictions(found, knobs)))
    traits = [
        trait
        for trait in required_traits(found, knobs)
        if not found.get(f'trait:{trait}', '').strip()
    ]
    for trait in traits:
        found[f'trait:{trait}'] = _REQUIRED
    if traits:
        found[DERIVED_TRAITS] = ','.join(traits)
    vfs = _vfs(found)
    if vfs:
        part = f'{alias}:{vfs}'
        if part not in _parts(found.get(ALIAS, '')):
            found[ALIAS] = _with_alias(found.get(ALIAS, ''), alias, vfs)
            found[DERIVED_ALIAS] = part
    return found


def required_traits(extra_specs: Mapping[str, str], knobs: Knobs) -> list[str]:
    """Return the traits that a host must have for the keys of ours."""
    if not any(map(_is_ours, extra_specs)):
        return []
    needed = {trait for _, trait in _needed(extra_specs, knobs)}
    return [TRAIT, *sorted(needed)]


def _needed(
    extra_specs: Mapping[str, str], knobs: Knobs
) -> Iterator[tuple[str, str]]:
    """Yield each ``key=value`` of ours that needs a trait, and the trait."""
    for key, text in extra_specs.items():
        knob, value = knobs.get(key), text.strip()
        if knob is not None and value in knob.traits:
            yield f'{key}={value}', f'{TRAIT}{knob.traits[value]}'


def contradictions(
    extra_specs: Mapping[str, str], knobs: Knobs
) -> Iterator[ConflictingKnobs]:
    """Yield an error for each trait that the flavor needs and excludes."""
    for trait in required_traits(extra_specs, knobs):
        key = f'trait:{trait}'
        value = extra_specs.get(key, _REQUIRED).strip()
        if value not in ('', _REQUIRED):
            yield ConflictingKnobs(
                f'{key}={value} excludes the hosts that '
                f'{_reason(trait, extra_specs, knobs)} needs: want '
                f'{_REQUIRED}, or the flavor without this key'
            )


def stated(extra_specs: Mapping[str, str]) -> dict[str, str]:
    """Return the extra specs without what the record says was derived."""
    found = {k: v for k, v in extra_specs.items() if k not in RECORDS}
    for trait in _parts(extra_specs.get(DERIVED_TRAITS, '')):
        key = f'trait:{trait}'
        if trait in TRAITS and found.get(key) == _REQUIRED:
            del found[key]
    derived = _parts(extra_specs.get(DERIVED_ALIAS, ''))
    if derived and ALIAS in found:
        parts = _parts(found[ALIAS])
        others = [part for part in parts if part not in derived]
        if not others:
            del found[ALIAS]
        elif others != parts:
            found[ALIAS] = ','.join(others)
    return found


def recorded(
    extra_specs: Mapping[str, str], alias: str, knobs: Knobs
) -> dict[str, str]:
    """Return a cloud's extra specs with a record.

    Releases before the record wrote none. Extra specs that have all that
    their own keys require were compiled by one of them: the required traits
    and the alias for their VFs count as derived. Others are returned as they
    are, for nothing says that they were ever compiled.

    :param alias: the name in Nova's ``[pci] alias`` that stands for the VFs.
    """
    found = dict(extra_specs)
    traits = required_traits(found, knobs)
    vfs = _vfs(found)
    part = f'{alias}:{vfs}'
    if (
        not traits
        or any(key in found for key in RECORDS)
        or any(found.get(f'trait:{t}') != _REQUIRED for t in traits)
        or (vfs and part not in _parts(found.get(ALIAS, '')))
    ):
        return found
    found[DERIVED_TRAITS] = ','.join(traits)
    if vfs:
        found[DERIVED_ALIAS] = part
    return found


def both_records(
    now: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    """Return a record of all that either record names: it is right at every
    moment while one is being replaced by the other.
    """
    found = {}
    for key in RECORDS:
        parts = [*_parts(now.get(key, '')), *_parts(wanted.get(key, ''))]
        if parts:
            found[key] = ','.join(dict.fromkeys(parts))
    return found


def _is_ours(key: str) -> bool:
    return key.startswith('kvm:')


def _reason(trait: str, extra_specs: Mapping[str, str], knobs: Knobs) -> str:
    """Return the keys that need a trait, for a person."""
    keys = [
        key for key, needed in _needed(extra_specs, knobs) if needed == trait
    ]
    first = next(filter(_is_ours, extra_specs))
    return ' and '.join(keys) or f'{first}={extra_specs[first]}'


def _vfs(extra_specs: Mapping[str, str]) -> int:
    return whole.number(extra_specs.get(VFS, '0').strip()) or 0


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(',') if part.strip()]


def _with_alias(text: str, alias: str, count: int) -> str:
    """Return a list of aliases in which ``alias`` has ``count``."""
    others = [
        part for part in _parts(text) if part.rpartition(':')[0] != alias
    ]
    return ','.join([*others, f'{alias}:{count}'])
