"""The request for a guest: typed values, and where each comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import difflib
from functools import cached_property
from typing import TYPE_CHECKING

from kvm_tuning.core.exceptions import (
    InvalidValue,
    RequestError,
    SeveralErrors,
    UnknownKnob,
    raise_all,
)
from kvm_tuning.core.knobs import Knob, Source, Value, by_name
from kvm_tuning.core.nova import image_properties
from kvm_tuning.core.nova.topology import Topology
from kvm_tuning.core.nova.topology import read as read_topology
from kvm_tuning.core.wording import invalid, short

if TYPE_CHECKING:
    # Not needed to know the knobs, and slow to import.
    from kvm_tuning.core.documents import Flavor, Image

#: The namespace of our own extra specs: an unknown key in it is an error.
NAMESPACE = 'kvm:'

PROFILE = 'kvm:profile'


@dataclass(frozen=True, slots=True)
class Asked:
    """One requested value."""

    #: The key as it was written, such as ``hw:numa_cpus.0``.
    key: str
    value: Value
    text: str
    source: Source
    #: For a person: ``flavor 'perf.l3'``.
    origin: str
    #: What owns the key; None: unknown, so that no fact of it counts.
    knob: Knob | None = field(default=None, compare=False, repr=False)

    @property
    def promise(self) -> bool:
        """Whether the guest is refused if it cannot be kept."""
        return self.source.promise

    def __str__(self) -> str:
        return f'{self.key}={self.text} ({self.origin})'


@dataclass(frozen=True)
class Request:
    """Everything that is requested for one guest."""

    flavor: str
    vcpus: int
    memory_mib: int
    #: By key.
    asked: Mapping[str, Asked] = field(default_factory=dict)
    #: The guest cells that Nova's own keys request; None: none.
    topology: Topology | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    #: The kinds of PCI device that the host's operator defined, by alias, as
    #: in Nova's ``[pci] alias``.
    pci_aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all requested knobs, ``hw:numa_cpus`` for
        ``hw:numa_cpus.0``.
        """
        stems = (key.rpartition('.')[0] for key in self.asked)
        return frozenset(self.asked).union(stems)

    @cached_property
    def knobs(self) -> frozenset[Knob]:
        """The knobs of all requested values."""
        return frozenset(
            asked.knob for asked in self.asked.values() if asked.knob
        )

    def at_claim(self) -> 'Request':
        """Return the request without what depends on the guest's own devices,
        which Nova's claim does not know.
        """
        kept = {
            key: asked
            for key, asked in self.asked.items()
            if asked.knob is None or not asked.knob.of_device
        }
        return replace(self, asked=kept)

    def without(self, key: str, image: str | None = None) -> 'Request':
        """Return the request of which ``key`` is not a part.

        :param image: the image property of the same meaning.
        :raises RequestError: what is left contradicts itself.
        """
        specs = {k: v for k, v in self.extra_specs.items() if k != key}
        properties = {
            name: text
            for name, text in self.image_properties.items()
            if name not in (key, image)
        }
        return replace(
            self,
            asked={k: v for k, v in self.asked.items() if k != key},
            extra_specs=specs,
            image_properties=properties,
            topology=read_topology(
                self.vcpus, self.memory_mib, specs, properties
            ),
        )

    def get(self, key: str) -> Asked | None:
        return self.asked.get(key)

    def value(self, key: str, default: Value | None = None) -> Value | None:
        asked = self.asked.get(key)
        return default if asked is None else asked.value


def read(
    flavor: 'Flavor',
    image: 'Image | None',
    knobs: Mapping[str, Knob],
    profiles: Mapping[str, Mapping[str, str]] | None = None,
    defaults: Mapping[str, str] | None = None,
    pci_aliases: Mapping[str, Mapping[str, str]] | None = None,
) -> Request:
    """Return what ``flavor`` and ``image`` request, every value parsed once.

    A flavor's value overrides a profile's, a profile's overrides ``defaults``.

    :param knobs: all knobs by name.
    :param profiles: knob texts by profile name.
    :param defaults: knob texts that the host's operator prefers.
    :param pci_aliases: Nova's ``[pci] alias`` by name.
    :raises RequestError: what is wrong; SeveralErrors when it is more than one
        thing.
    """
    errors: list[RequestError] = []
    reader = _Reader(knobs, errors)
    flavor_origin = f'flavor {flavor.name!r}'
    for key, text in flavor.extra_specs.items():
        reader.take(key, text, Source.FLAVOR, flavor_origin)
    properties: Mapping[str, str] = {}
    if image is not None:
        properties = image.properties
        reader.take_image(properties, f'image {image.name!r}')
    reader.take_profile(profiles or {})
    for key, text in (defaults or {}).items():
        reader.take(key, text, Source.DEFAULT, 'default of the host')
    topology = None
    try:
        topology = read_topology(
            flavor.vcpus,
            flavor.ram_mib,
            flavor.extra_specs,
            properties,
            # As in the errors above, so that one mistake is reported once.
            flavor=flavor_origin,
            image='no image' if image is None else f'image {image.name!r}',
        )
    except SeveralErrors as exc:
        errors.extend(exc.errors)
    except RequestError as exc:
        errors.append(exc)
    raise_all(errors)
    return Request(
        flavor=flavor.name,
        vcpus=flavor.vcpus,
        memory_mib=flavor.ram_mib,
        asked=reader.asked,
        topology=topology,
        extra_specs=flavor.extra_specs,
        image_properties=properties,
        pci_aliases=pci_aliases or {},
    )


class _Reader:
    """Collects values, strongest source first, and everything that
    is wrong.
    """

    def __init__(
        self, knobs: Mapping[str, Knob], errors: list[RequestError]
    ) -> None:
        self.knobs = knobs
        self.errors = errors
        self.asked: dict[str, Asked] = {}
        #: Image properties, by name.
        self.images = {k.image: k for k in knobs.values() if k.image}

    def take(self, key: str, text: str, source: Source, origin: str) -> None:
        knob = by_name(self.knobs, key)
        if knob is None:
            if key.startswith(NAMESPACE) or not source.promise:
                self.errors.append(self._unknown(key, origin))
            return
        if not source.promise and not knob.preferable:
            self.errors.append(
                InvalidValue(f'{key} cannot be set by the {origin}')
            )
            return
        self._parse(knob, key, text, source, origin)

    def take_image(self, properties: Mapping[str, str], origin: str) -> None:
        try:
            values = image_properties.read(properties, origin).values
        except RequestError:
            return  # The topology is read of them, too, and says so.
        for name, value in values.items():
            knob = self.images.get(name)
            if knob is not None:
                text = str(value)
                self._parse(knob, knob.name, text, Source.IMAGE, origin)

    def take_profile(self, profiles: Mapping[str, Mapping[str, str]]) -> None:
        chosen = self.asked.get(PROFILE)
        if chosen is None:
            return
        values = profiles.get(str(chosen.value))
        if values is None:
            known = ', '.join(sorted(profiles)) or 'none is configured'
            self.errors.append(
                InvalidValue(
                    f'{chosen}: there is no such profile; profiles here: '
                    f'{known}'
                )
            )
            return
        for key, text in values.items():
            origin = f'profile {chosen.value!r}'
            self.take(key, text, Source.PROFILE, origin)

    def _parse(
        self, knob: Knob, key: str, text: str, source: Source, origin: str
    ) -> None:
        try:
            value = knob.kind.parse(text)
        except ValueError as exc:
            name = knob.image if source is Source.IMAGE else None
            self.errors.append(invalid(name or key, text, origin, exc))
            return
        self.asked.setdefault(
            key, Asked(key, value, text, source, origin, knob)
        )

    def _unknown(self, key: str, origin: str) -> UnknownKnob:
        close = difflib.get_close_matches(key, self.knobs, n=1)
        hint = f'; did you mean {close[0]}?' if close else ''
        return UnknownKnob(f'{short(key)} ({origin}) is not a knob{hint}')
