"""Keep reading after an error, so that everything wrong is reported
at once.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from kvm_tuning.core.exceptions import RequestError, SeveralErrors, raise_all

P = ParamSpec('P')
T = TypeVar('T')


class Attempts:
    """Calls readers and keeps what they raise."""

    def __init__(self) -> None:
        self.errors: list[RequestError] = []

    def of(
        self, reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Return what ``reader`` returns; None when it raised."""
        try:
            return reader(*args, **kwargs)
        except SeveralErrors as exc:
            self.errors.extend(exc.errors)
        except RequestError as exc:
            self.errors.append(exc)
        return None

    def raise_all(self) -> None:
        """Raise what was raised so far; do nothing if nothing was.

        :raises RequestError: the only error; SeveralErrors for more than one.
        """
        raise_all(self.errors)
