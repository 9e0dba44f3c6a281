"""Look a server up in bounded time, whatever hangs."""

from collections.abc import Callable, Sequence
import concurrent.futures
import threading

from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import CloudFailed

#: Returns the settings of a server by its UUID; None: no such server.
Source = Callable[[str], Sequence[Setting] | None]


class Lookup:
    """A source that is given up after ``deadline`` seconds.

    A call that hangs keeps its thread until it returns; there are at most
    ``workers`` threads at one time.
    """

    def __init__(self, source: Source, deadline: float, workers: int) -> None:
        self._source = source
        self._deadline = deadline
        self._free = threading.BoundedSemaphore(workers)

    def __call__(self, server: str) -> Sequence[Setting] | None:
        """Return the settings of a server; None: there is no such server.

        :raises CloudFailed: there is no answer in time, or no thread to ask.
        """
        if not self._free.acquire(blocking=False):
            raise CloudFailed('all lookups hang')
        answer: concurrent.futures.Future[Sequence[Setting] | None] = (
            concurrent.futures.Future()
        )

        def ask() -> None:
            try:
                answer.set_result(self._source(server))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                self._free.release()

        # A daemon thread: a lookup that hangs does not keep the process alive.
        try:
            threading.Thread(target=ask, daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise CloudFailed(f'no thread for the lookup: {error}') from error
        try:
            return answer.result(self._deadline)
        except concurrent.futures.TimeoutError as error:
            if answer.done():
                raise
            raise CloudFailed(
                f'no answer in {self._deadline} seconds'
            ) from error
