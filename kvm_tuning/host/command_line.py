"""The kernel's command line, read as the kernel reads it.

Of a parameter that is given several times, the last one counts (the kernel's
Documentation/admin-guide/kernel-parameters.rst; each is parsed in turn).
Dashes and underscores in a name are the same. A value may be quoted.
"""

from collections.abc import Iterable
import re

_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')


def words(text: str) -> list[str]:
    """Return the arguments, quotes kept; those after ``--`` are init's."""
    found = _WORD.findall(text)
    return found[: found.index('--')] if '--' in found else found


def key(word: str) -> str:
    """Return an argument's name, as the kernel compares it."""
    return word.partition('=')[0].strip('"').replace('-', '_')


def value(text: str, name: str) -> str | None:
    """Return the value in force; empty for a word without one, None for a
    parameter that is not given.
    """
    found = None
    for word in words(text):
        if key(word) == name.replace('-', '_'):
            found = word.partition('=')[2].strip('"')
    return found


def without(text: str, names: Iterable[str]) -> str:
    """Return ``text`` without the parameters ``names``."""
    gone = {name.replace('-', '_') for name in names}
    return ' '.join(word for word in words(text) if key(word) not in gone)
