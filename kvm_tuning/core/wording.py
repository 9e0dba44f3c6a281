"""How a message names what was requested: the key, the value and its
source.
"""

from kvm_tuning.core.exceptions import InvalidValue

#: Longer values are cut in messages: an image's are a tenant's input.
LONGEST = 64


def short(text: str) -> str:
    """Return ``text`` for a message: cut if it is long, quoted if it is odd.

    A text that is empty, has blanks around it or is not printable is quoted,
    so that no value can break a line or look like another one.
    """
    if len(text) > LONGEST:
        text = f'{text[: LONGEST - 3]}...'
    if text and text.isprintable() and text == text.strip():
        return text
    return repr(text)


def asked(key: str, text: object, origin: str) -> str:
    """Return ``hw:cpu_policy=dedicated (flavor 'perf')``."""
    return f'{short(key)}={short(str(text))} ({origin})'


def invalid(key: str, text: str, origin: str, want: object) -> InvalidValue:
    """Return the error for a value that its kind does not allow."""
    return InvalidValue(f'{asked(key, text, origin)}: want {want}')
