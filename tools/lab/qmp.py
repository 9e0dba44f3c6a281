"""QEMU's machine protocol (docs/interop/qmp-spec.rst of QEMU)."""

import json
import os
from pathlib import Path
import socket
import time
from types import TracebackType
from typing import Any, Self

from tools.lab.places import LabError


class Qmp:
    """A connection to QEMU's control socket."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        # A socket's path has at most 107 bytes: go there by a descriptor.
        place = os.open(path.parent, os.O_PATH)
        try:
            self._socket.connect(f'/proc/self/fd/{place}/{path.name}')
        finally:
            os.close(place)
        self._file = self._socket.makefile('rw')
        self._file.readline()  # The greeting.
        self.call('qmp_capabilities')

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._socket.close()

    def call(self, command: str, **arguments: Any) -> Any:
        """Return what QEMU answers.

        :raises LabError: QEMU refuses, or is gone.
        """
        try:
            self._file.write(
                json.dumps({'execute': command, 'arguments': arguments}) + '\n'
            )
            self._file.flush()
            for line in self._file:
                answer = json.loads(line)
                if 'error' in answer:
                    raise LabError(f'{command}: {answer["error"]["desc"]}')
                if 'return' in answer:
                    return answer['return']
        except OSError as error:
            raise LabError(f'{command}: {error}') from error
        raise LabError(f'{command}: QEMU is gone')

    def monitor(self, line: str) -> str:
        """Return what the human monitor prints."""
        return str(
            self.call('human-monitor-command', **{'command-line': line})
        )

    def wait_for_migration(self, deadline: float) -> None:
        """Return when a migration, to or from a file, has come to its end.

        :raises LabError: it failed, or takes too long.
        """
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            found = self.call('query-migrate')
            if found.get('status') == 'completed':
                return
            if found.get('status') == 'failed':
                raise LabError(f'migration: {found.get("error-desc")}')
            time.sleep(0.1)
        raise LabError(f'no end of the migration after {deadline} s')
