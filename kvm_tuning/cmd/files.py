"""Read the files that a command line names: bounded, and as text."""

import os
import sys

from kvm_tuning.core import domain
from kvm_tuning.core.claims import Record
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


def domains(path: str) -> tuple[list[Record], list[str]]:
    """Return the running guests whose live documents are the files ``*.xml``
    in a directory, and what is wrong with those that are left out.

    :raises WrongUsage: the directory cannot be read.
    """
    try:
        names = sorted(os.listdir(path))
    except OSError as exc:
        raise WrongUsage(f'--domains {path}: {exc.strerror}') from None
    found, notes = [], []
    for name in names:
        if not name.endswith('.xml'):
            continue
        file = os.path.join(path, name)
        try:
            live = domain.kept_text(text(file, 'domain'))
            guest = domain.look(live).current
            found.append(Record(guest.name, guest.uuid or '', None, live))
        except (InvalidDocument, WrongUsage) as exc:
            notes.append(f'{file} is left out: {exc}')
    return found, notes


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
