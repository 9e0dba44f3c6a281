"""Nova's own keys about a guest's CPUs, each read from flavor and image.

Every function reads one key and raises what is wrong with it; ``cpu_keys``
checks which keys contradict each other. The rules are those of
``nova.virt.hardware``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import re

from kvm_tuning.core import page_size, vcpu_list
from kvm_tuning.core.exceptions import ConflictingKnobs, InvalidValue
from kvm_tuning.core.knobs import Choice
from kvm_tuning.core.nova.image_properties import ImageProperties, Value, flag
from kvm_tuning.core.wording import asked, invalid

CPU_POLICY = Choice(('shared', 'dedicated', 'mixed'))
CPU_THREAD_POLICY = Choice(('prefer', 'isolate', 'require'))
EMULATOR_THREADS_POLICY = Choice(('share', 'isolate'))

_CELLS = 'a whole number of guest cells, 1 or more'


@dataclass(frozen=True, slots=True)
class Sources:
    """A flavor and an image, and how messages name them."""

    extra_specs: Mapping[str, str]
    image: ImageProperties
    properties: Mapping[str, str]
    flavor_origin: str
    image_origin: str

    def flavor(self, key: str) -> str | None:
        return self.extra_specs.get(f'hw:{key}')

    def of_image(self, key: str) -> Value | None:
        return self.image.values.get(f'hw_{key}')

    def in_flavor(self, key: str) -> str:
        """Return how a message names the flavor's ``hw:<key>``."""
        name = f'hw:{key}'
        return asked(name, self.extra_specs.get(name), self.flavor_origin)

    def in_image(self, key: str) -> str:
        """Return how a message names the image's ``hw_<key>``."""
        name = f'hw_{key}'
        return asked(name, self.properties.get(name), self.image_origin)

    def in_both(self, key: str) -> str:
        return f'{self.in_flavor(key)} and {self.in_image(key)}'

    def in_either(self, key: str) -> str:
        """Return how a message names the one that is set."""
        if self.flavor(key):
            return self.in_flavor(key)
        return self.in_image(key)


def cpu_policy(sources: Sources) -> str | None:
    """Return ``dedicated``, ``shared``, ``mixed``; None when not requested.

    A flavor that says ``dedicated`` overrides any image; otherwise the image
    may not request more than the flavor gives.
    """
    flavor = _word(sources, 'cpu_policy', CPU_POLICY)
    image = _text(sources.of_image('cpu_policy'))
    if not flavor:
        return image
    if (flavor, image) in (
        ('mixed', 'dedicated'),
        ('shared', 'dedicated'),
        ('shared', 'mixed'),
    ):
        raise ConflictingKnobs(
            f'{sources.in_both("cpu_policy")} contradict each other: the '
            f'image may say {_weaker(flavor)}, or nothing'
        )
    return flavor


def cpu_thread_policy(sources: Sources) -> str | None:
    """Return ``prefer``, ``isolate``, ``require``; None when not requested.

    An empty text in the flavor is returned unchanged: Nova fails on it as soon
    as the guest has cells.
    """
    flavor = _word(sources, 'cpu_thread_policy', CPU_THREAD_POLICY)
    image = _text(sources.of_image('cpu_thread_policy'))
    if flavor is None or flavor == 'prefer':
        return flavor or image
    if image and image != flavor:
        raise ConflictingKnobs(
            f'{sources.in_both("cpu_thread_policy")} contradict each other: '
            f'want the same in both, or one of them only'
        )
    return flavor


def emulator_threads_policy(sources: Sources) -> str | None:
    """Return ``share`` or ``isolate``; None when not requested."""
    key = 'emulator_threads_policy'
    return _word(sources, key, EMULATOR_THREADS_POLICY) or None


def realtime_vcpus(sources: Sources, vcpus: int) -> frozenset[int] | None:
    """Return the vCPUs under realtime scheduling; None when not requested.

    At least one vCPU has to be left for housekeeping, unless the emulator
    threads have a policy of their own.
    """
    realtime = sources.flavor('cpu_realtime')
    if realtime is None or not flag(realtime):
        return None
    mask = _text(sources.of_image('cpu_realtime_mask'))
    key, origin = 'hw_cpu_realtime_mask', sources.image_origin
    if not mask:
        mask = sources.flavor('cpu_realtime_mask')
        key, origin = 'hw:cpu_realtime_mask', sources.flavor_origin
    named: frozenset[int] | None = None
    if mask:
        named = _mask(key, mask, origin, vcpus)
        if not named:
            raise InvalidValue(
                f'{asked(key, mask, origin)} leaves no realtime vCPU of the '
                f'{vcpus}: want at least one'
            )
    if named is None or len(named) == vcpus:
        if not sources.flavor('emulator_threads_policy'):
            raise InvalidValue(
                f'{sources.in_flavor("cpu_realtime")} takes all {vcpus} '
                'vCPUs: want a hw:cpu_realtime_mask such as ^0 that leaves '
                'one out, or hw:emulator_threads_policy'
            )
        return frozenset(range(vcpus))
    return named


def dedicated_vcpus(sources: Sources, vcpus: int) -> frozenset[int] | None:
    """Return the vCPUs of ``hw:cpu_dedicated_mask``; None when not set."""
    mask = sources.flavor('cpu_dedicated_mask')
    if not mask:
        return None
    origin = sources.flavor_origin
    named = _mask('hw:cpu_dedicated_mask', mask, origin, vcpus)
    if not named or len(named) == vcpus:
        raise InvalidValue(
            f'{sources.in_flavor("cpu_dedicated_mask")} names '
            f'{"all" if named else "none"} of the {vcpus} vCPUs: want at '
            'least one dedicated and one shared vCPU'
        )
    return named


def numa_nodes(sources: Sources) -> int | None:
    """Return the number of guest cells; None when not requested."""
    flavor = sources.flavor('numa_nodes')
    image = sources.of_image('numa_nodes')
    if flavor and image:
        raise ConflictingKnobs(
            f'{sources.in_both("numa_nodes")} are both set: want the '
            f"flavor's only"
        )
    if flavor:
        # No sign, no spaces, no leading zero.
        if not re.fullmatch(r'[1-9][0-9]*', flavor) or len(flavor) > 9:
            origin = sources.flavor_origin
            raise invalid('hw:numa_nodes', flavor, origin, _CELLS)
        return int(flavor)
    if image is None:
        return None
    if int(image) < 1:
        raise InvalidValue(f'{sources.in_image("numa_nodes")}: want {_CELLS}')
    return int(image)


def memory_page_size(sources: Sources) -> float | None:
    """Return KiB, or a word's number in ``page_size``; None when not
    requested.

    An image may choose a size only where the flavor leaves it the choice.
    """
    flavor = sources.flavor('mem_page_size')
    image = _text(sources.of_image('mem_page_size'))
    if not flavor:
        if image:
            raise ConflictingKnobs(
                f'{sources.in_image("mem_page_size")} needs a '
                'hw:mem_page_size in the flavor that allows it: want any or '
                'large there'
            )
        return None
    size = _size('hw:mem_page_size', flavor, sources.flavor_origin)
    if not image:
        return size
    if size not in (page_size.ANY, page_size.LARGE):
        raise ConflictingKnobs(
            f'{sources.in_both("mem_page_size")} are both set: an image may '
            f'choose only where the flavor says any or large'
        )
    return _size('hw_mem_page_size', image, sources.image_origin)


def persistent_memory(sources: Sources) -> bool:
    """Return whether ``hw:pmem`` requests virtual persistent memory."""
    text = sources.flavor('pmem')
    return bool(text) and any(map(str.strip, str(text).split(',')))


def _word(sources: Sources, key: str, choice: Choice) -> str | None:
    """Return the flavor's word; an empty one and None both pass through."""
    text = sources.flavor(key)
    if text and text not in choice.values:
        raise invalid(
            f'hw:{key}', text, sources.flavor_origin, choice.description
        )
    return text


def _text(value: Value | None) -> str | None:
    """Return the value of a property that is kept as text."""
    return None if value is None else str(value)


def _weaker(policy: str) -> str:
    return 'shared or mixed' if policy == 'mixed' else 'shared'


def _mask(key: str, text: str, origin: str, vcpus: int) -> frozenset[int]:
    """Return what a mask names; one that only excludes starts from
    all vCPUs.
    """
    whole = f'0-{vcpus - 1},{text}' if text.strip()[:1] == '^' else text
    try:
        named = vcpu_list.read(whole)
    except ValueError as exc:
        raise invalid(key, text, origin, exc) from None
    beyond = named.beyond(vcpus)
    if beyond is not None:
        raise InvalidValue(
            f'{asked(key, text, origin)} names vCPU {beyond}: want 0 to '
            f'{vcpus - 1}'
        )
    return named.within(vcpus)


def _size(key: str, text: str, origin: str) -> float:
    try:
        return page_size.read(text)
    except ValueError as exc:
        raise invalid(key, text, origin, exc) from None
