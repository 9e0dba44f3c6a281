"""A finding of an assessment, as data."""

from dataclasses import dataclass, field

from kvm_tuning.core.assess.codes import CODES, Code
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.observed import Unknown

__all__ = ['Finding', 'Severity', 'Where', 'found', 'unknown']


@dataclass(frozen=True, slots=True)
class Where:
    """The places on the host that a finding is about: what a picture of the
    host marks.
    """

    pcpus: frozenset[int] = frozenset()
    cells: frozenset[int] = frozenset()
    #: PCI addresses.
    devices: frozenset[str] = frozenset()


NOWHERE = Where()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a guest loses, or that could not be seen."""

    #: A key of :data:`~kvm_tuning.core.assess.codes.CODES`.
    code: str
    severity: Severity
    #: What was counted; for an unknown, why it could not be.
    evidence: str
    where: Where = field(default=NOWHERE)
    #: For an unknown: what it takes to see it; '' where nothing would help.
    needs: str = ''

    @property
    def about(self) -> Code:
        """What is known about the code: its title, knob, cost and page."""
        return CODES[self.code]


def found(code: str, evidence: str, where: Where = NOWHERE) -> Finding:
    """Return a finding with the severity of its code."""
    return Finding(code, CODES[code].severity, evidence, where)


def unknown(code: str, unseen: Unknown) -> Finding:
    """Return the finding that it is unknown whether ``code`` applies."""
    return Finding(code, Severity.UNKNOWN, unseen.why, needs=unseen.needs)
