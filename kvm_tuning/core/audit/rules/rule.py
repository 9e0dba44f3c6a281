"""A rule of the audit: a question to the kernel about one address."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kvm_tuning.core import cpuset, whole
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.drift import Point
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Observed, Unknown


@dataclass(frozen=True, slots=True)
class Case:
    """One promised address of a running guest, for a rule to judge."""

    point: Point
    #: The live document.
    domain: Domain
    observed: Observed
    inventory: Inventory

    @property
    def wanted(self) -> str:
        return self.point.wanted

    @property
    def cpus(self) -> frozenset[int] | Unknown:
        """The set of CPUs or cells that is promised."""
        try:
            return cpuset.parse(self.wanted)
        except ValueError:
            return Unknown(f'the promise {self.wanted!r} is not a list')

    def number(self, key: str) -> int | None:
        """Return the number at a key of the path."""
        return whole.number(self.point.key(key))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule found. ``kept`` is an Unknown where it could not
    be checked.
    """

    kept: bool | Unknown
    #: What the guest has, in a few words.
    found: str

    @classmethod
    def unknown(cls, unknown: Unknown) -> 'Verdict':
        return cls(unknown, 'unknown')


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of address is audited."""

    check: Callable[[Case], Verdict]
    #: The code of a finding against it.
    code: str
    #: Why it matters that the promise is broken.
    why: str


#: By path without keys and attribute (or ``#text``, or '' for the element).
Rules = Mapping[tuple[str, str], Rule]


def equal(wanted: object, found: object | Unknown) -> Verdict:
    """Return the verdict of a plain comparison of texts."""
    if isinstance(found, Unknown):
        return Verdict.unknown(found)
    return Verdict(str(wanted) == str(found), str(found))
