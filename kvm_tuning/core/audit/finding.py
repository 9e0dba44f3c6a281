"""What an audit says of one address."""

from dataclasses import dataclass
import enum


class Severity(enum.Enum):
    """How bad it is, the best first. ``unknown`` is never fine."""

    OK = 'ok'
    #: To know, nobody has to act: a preference that was not kept.
    INFO = 'info'
    #: It could not be known whether the promise holds.
    UNKNOWN = 'unknown'
    #: Likely not what was meant, or broken soon.
    WARNING = 'warning'
    #: A promise is broken.
    ERROR = 'error'


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of an audit."""

    severity: Severity
    #: The path of the effect, ``/@attribute`` behind it; or ``guest``.
    address: str
    wanted: str
    found: str
    #: Why it matters, and for an unknown what it needs to be known.
    why: str
    #: Short and stable.
    code: str
