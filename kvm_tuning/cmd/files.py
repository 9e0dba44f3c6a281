"""Read the files that a command line names: bounded, and as text."""

import os
import sys

from kvm_tuning.core.exceptions import InvalidDocument, WrongUsage

#: Far above any flavor, image or domain.
MAX_BYTES = 10 * 1024 * 1024


def text(path: str, what: str) -> str:
    """Return the text of the file at ``path``; ``-`` is standard input.

    :param what: what it is for, as the message names it: ``flavor``.
    :raises WrongUsage: it cannot be opened, is not a regular file, or is too
        large.
    :raises InvalidDocument: it is not UTF-8.
    """
    raw = _raw(path, what)
    if len(raw) > MAX_BYTES:
        raise WrongUsage(
            f'{what} {path}: larger than {MAX_BYTES} bytes: no {what}'
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise InvalidDocument(
            f'{what} {path}: not text in UTF-8 (byte {exc.start})'
        ) from None


def _raw(path: str, what: str) -> bytes:
    if path == '-':
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        # A pipe is taken (<(...) of a shell); a directory is not.
        if os.path.isdir(path):
            raise WrongUsage(f'{what} {path}: is a directory')
        with open(path, 'rb') as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = getattr(exc, 'strerror', None) or str(exc)
        raise WrongUsage(f'{what} {path}: {why}') from None
