"""Turn Nova's flavor and image into a Request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
import logging
from typing import Any

from kvm_tuning import loader
from kvm_tuning.adapters.nova.fit import context
from kvm_tuning.adapters.nova.fit.context import Preferences
from kvm_tuning.core import cpuset, plan, request, whole
from kvm_tuning.core.compiled import ALIAS, VFS
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    RequestError,
    raise_all,
)
from kvm_tuning.core.knobs import Knob, by_name
from kvm_tuning.core.nova import spec_names
from kvm_tuning.core.plan import Prepared
from kvm_tuning.core.request import NAMESPACE, Request
from kvm_tuning.hooks.base import Hook

LOG = logging.getLogger(__name__)

Texts = Mapping[str, str]

#: How many requests are cached.
MOST_KNOWN = 256

ATTACHMENT = 'kvm:vf_attachment'

# Nova's typed properties that are lists with an item per guest cell.
_BY_CELL = ('hw_numa_cpus', 'hw_numa_mem')


@dataclass(frozen=True)
class Reader:
    """Reads requests, with what is the same for all of them."""

    hooks: Sequence[Hook]
    knobs: Mapping[str, Knob]
    profiles: Mapping[str, Texts]
    defaults: Texts
    #: Requests read before, by everything they were read from: flavors are
    #: few, instances many.
    known: dict[object, Prepared] = field(
        default_factory=dict, compare=False, repr=False
    )

    @cached_property
    def preferences(self) -> Preferences:
        """What profiles and defaults prefer of the fit."""
        return context.preferences(self.profiles, self.defaults)

    def asks(self, flavor: Any, *, after_claim: bool = False) -> bool:
        """Return whether any key of ours is requested.

        :param after_claim: leave out what Nova's claim has kept already.
        """
        ours = [key for key in _specs(flavor) if key.startswith(NAMESPACE)]
        return any(
            not (after_claim and self._kept_by_claim(key))
            for key in (*self.defaults, *ours)
        )

    def _kept_by_claim(self, key: str) -> bool:
        knob = by_name(self.knobs, key)
        return knob is not None and knob.kept_by_claim

    def read(self, flavor: Any, image_meta: Any) -> Prepared:
        """Return what Nova's flavor and image request, checked, with the hooks
        that apply to it.

        :raises RequestError: what is wrong with it.
        """
        asked, image = _flavor(flavor), _image(image_meta)
        key = (
            asked.name,
            asked.vcpus,
            asked.ram_mib,
            *asked.extra_specs.items(),
            None,
            *(image.properties.items() if image else ()),
        )
        known = self.known.get(key)
        if known is not None:
            return known
        # A server that exists is not refused for it, and nova-api knows the
        # names of Nova's; it is said once for each flavor.
        for wrong in spec_names.misspelt(
            asked.extra_specs, self.knobs, f'flavor {asked.name!r}'
        ):
            LOG.warning('%s', wrong)
        found = request.read(
            asked, image, self.knobs, self.profiles, self.defaults
        )
        _check_vfs(found)
        prepared = plan.prepare(self.hooks, found, placed=True)
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        self.known[key] = prepared
        return prepared


def _check_vfs(found: Request) -> None:
    """Check that Nova gives the guest its VFs: it assigns devices by aliases,
    and nobody else may.
    """
    errors: list[RequestError] = []
    vfs = found.get(VFS)
    if vfs is not None and vfs.value and ALIAS not in found.extra_specs:
        errors.append(
            ConflictingKnobs(
                f'{vfs}: Nova assigns VFs by {ALIAS}, which the flavor does '
                'not have; `kvm-tuning flavor compile` adds it'
            )
        )
    elif vfs is not None and isinstance(vfs.value, int):
        alias = found.extra_specs[ALIAS] if vfs.value else ''
        if vfs.value and _devices(alias) < vfs.value:
            errors.append(
                ConflictingKnobs(
                    f'{vfs}: {ALIAS}={alias} requests fewer devices; '
                    '`kvm-tuning flavor compile` writes a matching alias'
                )
            )
    attachment = found.get(ATTACHMENT)
    if attachment is not None and attachment.value != 'hostdev':
        errors.append(
            ConflictingKnobs(
                f'{attachment}: Nova gives a guest the VF itself; remove it'
            )
        )
    if vfs is None or not vfs.value:
        errors += [
            ConflictingKnobs(
                f'{asked} is for the VFs of {VFS}, which the flavor does not '
                "set; those of ports (vnic_type=direct) are Neutron's: set "
                'it on the port'
            )
            for asked in found.asked.values()
            if asked.knob and asked.knob.pf_attribute
        ]
    raise_all(errors)


def _devices(alias: str) -> int:
    """Return how many devices an alias requests (Nova's pci/request.py)."""
    counts = (each.rpartition(':')[2].strip() for each in alias.split(','))
    return sum(whole.number(count) or 0 for count in counts)


def reader(profiles: Mapping[str, Texts], defaults: Texts) -> Reader:
    """Return a reader with all installed hooks.

    :raises HookLoadError: one of them is broken.
    """
    hooks = loader.load()
    return Reader(hooks, loader.knobs(hooks), profiles, defaults)


def _specs(flavor: Any) -> Texts:
    if flavor is None or 'extra_specs' not in flavor:
        return {}
    specs: Texts = flavor.extra_specs or {}
    return specs


def _flavor(flavor: Any) -> Flavor:
    return Flavor(
        name=flavor.name,
        id=flavor.flavorid if 'flavorid' in flavor else '',
        vcpus=flavor.vcpus,
        ram_mib=flavor.memory_mb,
        extra_specs=dict(_specs(flavor)),
    )


def _image(image_meta: Any) -> Image | None:
    """Return the image with the properties that Nova read from it, as texts
    again.
    """
    if image_meta is None or 'properties' not in image_meta:
        return None
    texts: dict[str, str] = {}
    properties = image_meta.properties
    for name, value in _held(properties):
        if name in _BY_CELL:
            for number, each in enumerate(value or ()):
                texts[f'{name}.{number}'] = _text(each)
        elif name == 'traits_required':
            texts.update({f'trait:{trait}': 'required' for trait in value})
        elif isinstance(value, str | int):
            texts[name] = _text(value)
    name = image_meta.name if 'name' in image_meta else ''
    return Image(name=name or '', id='', properties=texts)


def _held(properties: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields that are set, with their values.

    oslo.versionedobjects keeps a field ``x`` as the attribute ``_obj_x``. Its
    ``obj_attr_is_set`` lists all fields of the class at every call, which for
    the hundred properties of an image takes longer than Nova's XML.
    """
    for attribute, value in vars(properties).items():
        name = attribute.removeprefix('_obj_')
        if name != attribute and name in properties.fields:
            yield name, value


def _text(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return cpuset.format(value)
    return str(value)
