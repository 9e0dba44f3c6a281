"""What an audit reports about one address."""

from dataclasses import dataclass
import enum


class Severity(enum.Enum):
    """How bad a finding is, the best first. ``unknown`` is never fine."""

    OK = 'ok'
    #: To know, nobody has to act: a preference that was not kept.
    INFO = 'info'
    #: It could not be known whether the promise holds.
    UNKNOWN = 'unknown'
    #: Probably not intended, or about to break.
    WARNING = 'warning'
    #: A promise is broken.
    ERROR = 'error'


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of an audit."""

    severity: Severity
    #: The path of the effect, followed by ``/@attribute``; or ``guest``.
    address: str
    wanted: str
    found: str
    #: Why it matters; for an unknown, what is needed to find out.
    why: str
    #: Short and stable.
    code: str
