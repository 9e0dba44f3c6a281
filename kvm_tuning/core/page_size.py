"""Read page sizes as Nova's ``hw:mem_page_size`` writes them.

A size is ``small``, ``large``, ``any``, a number of KiB, or a number with a
unit (``2MB``, ``1GiB``; powers of 1024, and ``b`` is a bit). The rules are
those of Nova's ``mem_page_size`` and of oslo.utils' ``string_to_bytes``.
"""

import math
import re

#: Any number below zero would do; these are Nova's.
SMALL = -1
LARGE = -2
ANY = -3

WORDS = {'small': SMALL, 'large': LARGE, 'any': ANY}

WANT = 'small, large, any, or a size such as 2048, 2MB or 1GB'

_SIZE = re.compile(r'([-+]?\d*\.?\d+)(?:([KMGTPEZYRQ])i?)?(b|bit|B)$')

# Powers of 1024.
_POWERS = {unit: power for power, unit in enumerate('KMGTPEZYRQ', 1)}


def read(text: str) -> float:
    """Return the size in KiB, or SMALL, LARGE or ANY.

    Fractions are kept: Nova cuts them only where a cell stores them, after it
    has tested whether a size is given at all.

    :raises ValueError: the text is not a size; its message says what would be.
    """
    word = WORDS.get(text)
    if word is not None:
        return word
    try:
        return int(text) if text.isdigit() else _with_unit(text)
    except (ValueError, OverflowError):
        raise ValueError(WANT) from None


def _with_unit(text: str) -> float:
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(text)
    number, unit, byte = match.groups()
    size = float(number)
    if byte != 'B':
        size /= 8
    if unit is not None:
        size *= 1024 ** _POWERS[unit]
    return math.ceil(size) / 1024
