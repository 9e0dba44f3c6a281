"""Knobs: what can be requested, declared once as data.

The parser, Nova's API validator, the JSON schema, the reference page and
``kvm-tuning knob list`` all derive from a declaration. A :class:`Kind` is the
type of a knob's value and has four faces: parse, schema, Nova's value,
description.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
import enum
import re
from typing import Any

from kvm_tuning.core import cpuset, page_size, vcpu_list

Value = bool | int | str | frozenset[int]

# As oslo.utils' bool_from_string(strict=True), which Nova uses.
_TRUE = frozenset({'1', 't', 'true', 'on', 'y', 'yes'})
_ALIASES = r'[\w.-]{1,64}:\d{1,4}(\s*,\s*[\w.-]{1,64}:\d{1,4}){0,63}'
_WORD = r'[A-Za-z0-9_.:=,^-]{1,255}'
_FALSE = frozenset({'0', 'f', 'false', 'off', 'n', 'no'})


class Kind(ABC):
    """The type of a knob's value."""

    @abstractmethod
    def parse(self, text: str) -> Value:
        """Return the value of ``text``.

        :raises ValueError: its message says what would be valid.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value (the source of cloud-init's)."""

    @abstractmethod
    def nova_value(self) -> dict[str, Any]:
        """Return the ``value`` of Nova's ``ExtraSpecValidator``."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What is valid, in a few words."""


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """A boolean, in the words that Nova accepts."""

    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ValueError(self.description)

    def schema(self) -> dict[str, Any]:
        return {'type': 'boolean'}

    def nova_value(self) -> dict[str, Any]:
        return {'type': bool, 'description': self.description}

    @property
    def description(self) -> str:
        return 'true or false'


@dataclass(frozen=True, slots=True)
class Count(Kind):
    """A whole number within bounds, or one of a few words."""

    minimum: int
    maximum: int
    words: tuple[str, ...] = ()

    def parse(self, text: str) -> int | str:
        word = text.strip()
        if word in self.words:
            return word
        if not re.fullmatch(r'\d{1,9}', word, re.ASCII):
            raise ValueError(self.description)
        number = int(word)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(self.description)
        return number

    def schema(self) -> dict[str, Any]:
        number = {
            'type': 'integer',
            'minimum': self.minimum,
            'maximum': self.maximum,
        }
        if not self.words:
            return number
        return {'oneOf': [number, {'enum': list(self.words)}]}

    def nova_value(self) -> dict[str, Any]:
        # Nova's own type for numbers takes more than this parser, and it has
        # no union type: a pattern says exactly what is taken.
        words = ''.join(f'|{re.escape(word)}' for word in self.words)
        return {
            'type': str,
            'pattern': f'^({_numbers(self.minimum, self.maximum)}{words})$',
            'description': self.description,
        }

    @property
    def description(self) -> str:
        words = ''.join(f', or {word}' for word in self.words)
        return f'a whole number from {self.minimum} to {self.maximum}{words}'


@dataclass(frozen=True, slots=True)
class Size(Kind):
    """A page size as Nova writes it: KiB, a number with a unit, a word."""

    words: tuple[str, ...] = ()

    def parse(self, text: str) -> int | str:
        if text in self.words:
            return text
        try:
            size = page_size.read(text)
        except ValueError:
            size = 0
        if size < 1 or size != int(size):
            raise ValueError(self.description)
        return int(size)

    def schema(self) -> dict[str, Any]:
        return {'type': ['string', 'integer']}

    def nova_value(self) -> dict[str, Any]:
        return {'type': str, 'description': self.description}

    @property
    def description(self) -> str:
        words = ''.join(f'{word}, ' for word in self.words)
        return f'{words}or a size such as 2048, 2MB or 1GB'


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of a few words."""

    values: tuple[str, ...]

    def parse(self, text: str) -> str:
        word = text.strip()
        if word not in self.values:
            raise ValueError(self.description)
        return word

    def schema(self) -> dict[str, Any]:
        return {'type': 'string', 'enum': list(self.values)}

    def nova_value(self) -> dict[str, Any]:
        return {
            'type': str,
            'enum': list(self.values),
            'description': self.description,
        }

    @property
    def description(self) -> str:
        if len(self.values) == 1:
            return self.values[0]
        return f'{", ".join(self.values[:-1])} or {self.values[-1]}'


@dataclass(frozen=True, slots=True)
class CpuSet(Kind):
    """A set of CPU numbers in list format."""

    def parse(self, text: str) -> frozenset[int]:
        try:
            cpus = cpuset.parse(text)
        except ValueError as exc:
            raise ValueError(f'{self.description} ({exc})') from exc
        if not cpus:
            raise ValueError(self.description)
        return cpus

    def schema(self) -> dict[str, Any]:
        return {'type': 'string', 'pattern': '^[0-9,^ -]+$'}

    def nova_value(self) -> dict[str, Any]:
        return {
            'type': str,
            'pattern': r'^[0-9,^ -]+$',
            'description': self.description,
        }

    @property
    def description(self) -> str:
        return 'a CPU list such as 0-3,8'


@dataclass(frozen=True, slots=True)
class VcpuList(Kind):
    """A vCPU list as Nova writes it; it may be empty."""

    def parse(self, text: str) -> str:
        try:
            vcpu_list.read(text)
        except ValueError:
            raise ValueError(self.description) from None
        return text

    def schema(self) -> dict[str, Any]:
        return {'type': 'string', 'pattern': '^[0-9,^ -]*$'}

    def nova_value(self) -> dict[str, Any]:
        return {
            'type': str,
            'pattern': r'^[0-9,^ -]*$',
            'description': self.description,
        }

    @property
    def description(self) -> str:
        return 'a vCPU list such as 0-3,^1'


@dataclass(frozen=True, slots=True)
class Aliases(Kind):
    """PCI aliases and their counts, as Nova writes them."""

    def parse(self, text: str) -> str:
        if not re.fullmatch(_ALIASES, text, re.ASCII):
            raise ValueError(self.description)
        return text

    def schema(self) -> dict[str, Any]:
        return {'type': 'string', 'pattern': f'^{_ALIASES}$'}

    def nova_value(self) -> dict[str, Any]:
        return {
            'type': str,
            'pattern': f'^{_ALIASES}$',
            'description': self.description,
        }

    @property
    def description(self) -> str:
        return 'alias:count, or several separated by commas'


@dataclass(frozen=True, slots=True)
class Word(Kind):
    """A word of letters, digits and ``_.:=,-``; the hook defines its
    meaning.
    """

    what: str

    def parse(self, text: str) -> str:
        word = text.strip()
        if not re.fullmatch(_WORD, word):
            raise ValueError(self.description)
        return word

    def schema(self) -> dict[str, Any]:
        return {'type': 'string', 'maxLength': 255}

    def nova_value(self) -> dict[str, Any]:
        return {
            'type': str,
            'pattern': f'^{_WORD}$',
            'description': self.description,
        }

    @property
    def description(self) -> str:
        return self.what


def _numbers(minimum: int, maximum: int) -> str:
    """Return a pattern of the whole numbers from ``minimum`` to ``maximum``,
    in up to nine digits, as :meth:`Count.parse` takes them.
    """
    parts = [
        part
        for digits in range(len(str(minimum)), len(str(maximum)) + 1)
        for part in _span(
            str(max(minimum, 10 ** (digits - 1) if digits > 1 else 0)),
            str(min(maximum, 10**digits - 1)),
        )
    ]
    # Zeros before a number change nothing.
    return rf'(?=[0-9]{{1,9}}$)0*({"|".join(parts)})'


def _span(low: str, high: str) -> list[str]:
    """Return patterns of the numbers from ``low`` to ``high``, which have as
    many digits.
    """
    if low == high:
        return [low]
    size = len(low) - 1
    if low[0] == high[0]:
        return [low[0] + rest for rest in _span(low[1:], high[1:])]
    if size == 0:
        return [f'[{low}-{high}]']
    first, last = int(low[0]), int(high[0])
    parts = []
    if low[1:] != '0' * size:
        parts += [low[0] + rest for rest in _span(low[1:], '9' * size)]
        first += 1
    if high[1:] != '9' * size:
        parts += [high[0] + rest for rest in _span('0' * size, high[1:])]
        last -= 1
    if first <= last:
        parts.append(f'[{first}-{last}][0-9]{{{size}}}')
    return parts


class Source(enum.Enum):
    """Where a value comes from, the strongest first."""

    FLAVOR = 'flavor'
    IMAGE = 'image'
    PROFILE = 'profile'
    DEFAULT = 'default'

    @property
    def promise(self) -> bool:
        """Whether its values are promises rather than preferences."""
        return self in (Source.FLAVOR, Source.IMAGE)


@dataclass(frozen=True, slots=True)
class Knob:
    """One thing that can be requested.

    ``name`` is the extra spec's key. With a ``parameter`` (a regular
    expression) the name ends in one more number: ``hw:numa_cpus.0``. ``nova``:
    the key is Nova's own; under Nova, Nova has applied it before our hooks
    run. ``image`` is the image property with the same meaning.
    """

    name: str
    kind: Kind
    help: str
    since: str = '1.0'
    default: str | None = None
    nova: bool = False
    image: str | None = None
    parameter: str | None = None
    #: Whether a profile and the host's defaults may set it.
    preferable: bool = True
    #: Why an audit cannot check whether it is kept; None: it can.
    unaudited: str | None = None
    #: Why no valid value of it is ever refused; None: one can be.
    never_refused: str | None = None
    #: Whether its promise depends on the guest's own devices: Nova's claim
    #: knows none, so it is kept, or refused, when the guest is created.
    of_device: bool = False
    #: Whether Nova's claim keeps it for good, so that nothing is left to do
    #: when the guest is created.
    kept_by_claim: bool = False
    #: Whether its plan needs to know what is behind the guest's disks.
    needs_storage: bool = False
    #: Whether its plan needs to know the host's PCI functions.
    needs_functions: bool = False
    #: The attribute of a VF that it sets on the PF, in the kernel's words.
    pf_attribute: str | None = None
    #: The device whose number of queues it sets: ``interface`` or ``disk``.
    queues_of: str | None = None
    #: By value: what follows the name of our trait that a host must have for
    #: it; a host has only those of :data:`kvm_tuning.core.compiled.TRAITS`.
    traits: Mapping[str, str] = field(default_factory=dict, hash=False)


def by_name(knobs: Mapping[str, Knob], key: str) -> Knob | None:
    """Return the knob that owns ``key``, including parametrised ones."""
    knob = knobs.get(key)
    if knob is not None or '.' not in key:
        return knob
    stem, _, parameter = key.rpartition('.')
    knob = knobs.get(stem)
    if knob is None or knob.parameter is None:
        return None
    return knob if re.fullmatch(knob.parameter, parameter) else None
