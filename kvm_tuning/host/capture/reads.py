"""What is read below a root while something is looked at."""

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass, field

from kvm_tuning.host.access import sysfs


@dataclass(frozen=True, slots=True)
class Reads:
    """Paths below the root, as they were asked for."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)

    def note(self, kind: str, path: str) -> None:
        """Take a report of :data:`sysfs.observer`."""
        getattr(self, kind).add(path)


def of(look: Callable[[], object]) -> Reads:
    """Return what ``look`` reads. What it raises is passed on."""
    found = Reads()
    with _observed(found):
        look()
    return found


@contextlib.contextmanager
def _observed(found: Reads) -> Iterator[None]:
    token = sysfs.observer.set(found.note)
    try:
        yield
    finally:
        sysfs.observer.reset(token)
