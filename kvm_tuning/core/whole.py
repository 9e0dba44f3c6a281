"""Whole numbers in texts that somebody else wrote."""

import re

# More digits than any count has; Python refuses thousands of them, and its
# ``isdigit`` takes superscripts that ``int`` does not.
_NUMBER = re.compile(r'[0-9]{1,18}\Z')


def number(text: str | None) -> int | None:
    """Return the number of 1 to 18 decimal digits; None for other texts."""
    return int(text) if text and _NUMBER.match(text) else None
