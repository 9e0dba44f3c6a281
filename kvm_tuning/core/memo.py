"""Values that are computed once and kept with what they are computed from."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_T = TypeVar('_T')


class Memo:
    """Values by key. Each key belongs to one function, and so to one type."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the value at ``key``, from ``make`` the first time."""
        try:
            found: _T = self._known[key]
        except KeyError:
            found = self._known[key] = make()
        return found
