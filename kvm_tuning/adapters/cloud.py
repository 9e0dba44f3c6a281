"""A cloud's flavors and traits, through openstacksdk."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
import importlib
from typing import Any

from kvm_tuning.core import compiled
from kvm_tuning.core.documents import NewFlavor
from kvm_tuning.core.exceptions import CloudFailed, InvalidDocument

# The first with `required` in the list of resource providers.
_MICROVERSION = '1.18'


@dataclass(frozen=True, slots=True)
class Difference:
    """One extra spec that differs from what it should be; None: absent."""

    key: str
    now: str | None
    wanted: str | None


def connect(cloud: str | None, **options: Any) -> Any:
    """Return a connection to a cloud of clouds.yaml, or of the environment.

    :param options: options of openstacksdk, such as ``api_timeout``.
    :raises CloudFailed: openstacksdk is missing, or there is no such cloud.
    """
    try:
        sdk = importlib.import_module('openstack')
    except ImportError as exc:
        raise CloudFailed(
            'openstacksdk is not installed: pip install kvm-tuning[cloud]'
        ) from exc
    try:
        return sdk.connect(cloud=cloud, **options)
    except Exception as exc:
        raise CloudFailed(f'no connection to cloud {cloud}: {exc}') from exc


def differences(
    now: Mapping[str, str], wanted: Mapping[str, str], prune: bool
) -> list[Difference]:
    """Return what has to change, by key.

    :param prune: whether to remove what is not wanted.
    """
    keys = sorted(set(wanted) | (set(now) if prune else set()))
    return [
        Difference(key, now.get(key), wanted.get(key))
        for key in keys
        if now.get(key) != wanted.get(key)
    ]


def flavor_specs(connection: Any, name: str) -> tuple[Any, dict[str, str]]:
    """Return a flavor of the cloud and its extra specs.

    :raises InvalidDocument: the cloud has no such flavor.
    :raises CloudFailed: Nova does not answer.
    """
    found = find_flavor(connection, name)
    if found is None:
        raise InvalidDocument(
            f'the cloud has no flavor {name!r}: make it with kvm-tuning '
            f'flavor create'
        )
    return found, dict(found.extra_specs or {})


def find_flavor(connection: Any, name: str) -> Any:
    """Return a flavor of the cloud, public or private; None: there is none.

    :raises CloudFailed: Nova does not answer.
    """
    try:
        return connection.compute.find_flavor(name, get_extra_specs=True)
    except Exception as exc:
        # None comes from openstacksdk before 6, this from later ones.
        if type(exc).__name__ == 'NotFoundException':
            return None
        raise CloudFailed(f'flavor {name}: {exc}') from exc


def recorded_flavors(
    connection: Any,
) -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield each flavor whose extra specs record what was derived.

    :raises CloudFailed: Nova does not answer.
    """
    try:
        found = list(connection.compute.flavors(get_extra_specs=True))
    except Exception as exc:
        raise CloudFailed(f'flavors: {exc}') from exc
    for flavor in found:
        specs = dict(flavor.extra_specs or {})
        if any(key in specs for key in compiled.RECORDS):
            yield flavor, specs


def create_flavor(
    connection: Any, wanted: NewFlavor, specs: Mapping[str, str]
) -> None:
    """Make a flavor; where Nova refuses a part of it, none is left.

    :raises CloudFailed: Nova refuses it.
    """
    attributes = _attributes(wanted)
    # What has its default needs no new microversion.
    if wanted.description is not None:
        attributes['description'] = wanted.description
    if wanted.id is not None:
        attributes['id'] = wanted.id
    name = wanted.flavor.name
    made = None
    try:
        made = connection.compute.create_flavor(name=name, **attributes)
        for project in wanted.projects:
            connection.compute.flavor_add_tenant_access(made, project)
        _set_specs(connection, made, specs)
    except Exception as exc:
        if made is not None:
            connection.compute.delete_flavor(made)
        raise CloudFailed(f'flavor {name}: {exc}') from exc


def unlike(flavor: Any, wanted: NewFlavor) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which a flavor of the cloud is not as wanted:
    what it has, and what it should have.
    """
    attributes = _attributes(wanted)
    if wanted.id is not None:
        attributes['id'] = wanted.id
    # (Nova gives no swap as an empty text.)
    found = {
        name: getattr(flavor, name) or type(value)()
        for name, value in attributes.items()
    }
    return {
        name: (found[name], value)
        for name, value in attributes.items()
        if found[name] != value
    }


def _attributes(wanted: NewFlavor) -> dict[str, Any]:
    """Return a flavor's size and visibility, by openstacksdk's names."""
    return {
        'vcpus': wanted.flavor.vcpus,
        'ram': wanted.flavor.ram_mib,
        'disk': wanted.flavor.disk_gib,
        'swap': wanted.swap_mib,
        'ephemeral': wanted.ephemeral_gib,
        'rxtx_factor': wanted.rxtx_factor,
        'is_public': wanted.public,
    }


def push(connection: Any, flavor: Any, changes: Iterable[Difference]) -> None:
    """Make the changes in a flavor of the cloud.

    While something is being removed, the record of what was derived names
    the old and the new, so that it is right wherever this is interrupted.

    :raises CloudFailed: Nova refuses one of them.
    """
    changes = list(changes)
    new = {c.key: c.wanted for c in changes if c.wanted is not None}
    gone = [c.key for c in changes if c.wanted is None]
    records = {k: new.pop(k) for k in compiled.RECORDS if k in new}
    both = records
    if any(key not in compiled.RECORDS for key in gone):
        both = compiled.both_records(
            {c.key: c.now for c in changes if c.now is not None}, records
        )
    try:
        _set_specs(connection, flavor, new | both)
        for key in sorted(gone, key=compiled.RECORDS.__contains__):
            connection.compute.delete_flavor_extra_specs_property(flavor, key)
        if both != records:
            _set_specs(connection, flavor, records)
    except Exception as exc:
        raise CloudFailed(f'flavor {flavor.name}: {exc}') from exc


def _set_specs(connection: Any, flavor: Any, specs: Mapping[str, str]) -> None:
    if specs:
        connection.compute.create_flavor_extra_specs(flavor, dict(specs))


def retire(
    connection: Any, traits: Iterable[str], dry_run: bool
) -> list[tuple[str, str]]:
    """Take our traits from every resource provider, and then out of
    placement; return (provider, trait) of what was, or would be, taken.

    :raises CloudFailed: placement refuses.
    """
    ours = set(traits)
    taken: list[tuple[str, str]] = []
    for trait in sorted(ours):
        found = _get(connection, f'/resource_providers?required={trait}')
        for provider in (found or {}).get('resource_providers', ()):
            taken.append((provider['name'], trait))
            if not dry_run:
                _take(connection, provider['uuid'], ours)
    if not dry_run:
        for trait in sorted(ours):
            _call(connection, 'delete', f'/traits/{trait}', (204, 404))
    return sorted(taken)


def _take(connection: Any, uuid: str, ours: set[str]) -> None:
    path = f'/resource_providers/{uuid}/traits'
    found = _get(connection, path) or {}
    body = {
        'traits': sorted(set(found.get('traits', ())) - ours),
        'resource_provider_generation': found.get(
            'resource_provider_generation'
        ),
    }
    _call(connection, 'put', path, (200,), json=body)


def _get(connection: Any, path: str) -> dict[str, Any] | None:
    # 400: placement does not know the trait, so nobody has it.
    response = _call(connection, 'get', path, (200, 400))
    if response.status_code != 200:
        return None
    found: dict[str, Any] = response.json()
    return found


def _call(
    connection: Any, verb: str, path: str, fine: tuple[int, ...], **kwargs: Any
) -> Any:
    response = getattr(connection.placement, verb)(
        path, microversion=_MICROVERSION, **kwargs
    )
    if response.status_code not in fine:
        raise CloudFailed(
            f'placement: {verb} {path}: {response.status_code} '
            f'{response.text[:200]}'
        )
    return response
