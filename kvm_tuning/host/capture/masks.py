"""Names that would tell whose host it is, replaced alike everywhere.

What stands for a MAC address, a UUID or a machine's id depends on a key that
is made for one capture and not kept: the same name is the same everywhere in
it, and nobody can try names out.
"""

import hashlib
import hmac
import re
import secrets

_MAC = re.compile(
    r'(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])'
)
#: systemd's names of ports by their MAC address.
_ENX = re.compile(r'(?<=\benx)[0-9a-f]{12}\b')
_UUID = re.compile(r'\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b')
_ID = re.compile(r'(?<![0-9A-Fa-f])[0-9a-f]{32}(?![0-9A-Fa-f])')
_SPECIAL = frozenset({'00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'})


class Masks:
    """The replacements of one capture."""

    def __init__(self, hosts: tuple[str, ...] = ()) -> None:
        """:param hosts: names of the host."""
        self._key = secrets.token_bytes(32)
        names = sorted(
            {name for name in hosts if len(name) > 1}, key=len, reverse=True
        )
        self._hosts = re.compile(
            '|'.join(rf'(?<![\w.-]){re.escape(name)}(?![\w-])'
                     for name in names) or '(?!)'
        )  # fmt: skip

    def text(self, text: str) -> str:
        """Return a text, or a path, with all such names replaced."""
        text = _MAC.sub(lambda found: self._mac(found[0]), text)
        text = _ENX.sub(
            lambda found: self._mac(
                ':'.join(re.findall('..', found[0]))
            ).replace(':', ''),
            text,
        )
        text = _UUID.sub(lambda found: self._uuid(found[0]), text)
        text = _ID.sub(lambda found: self._digest(found[0], 32), text)
        return self._hosts.sub('host', text)

    def value(self, text: str) -> str:
        """Return what stands for a value of which nothing may be known."""
        return f'masked-{self._digest(text, 8)}'

    def _mac(self, found: str) -> str:
        plain = found.lower().replace('-', ':')
        if plain in _SPECIAL:
            return found
        made = self._digest(plain, 10)
        # Locally administered, so that it is nobody's.
        masked = ':'.join(['02', *re.findall('..', made)])
        if '-' in found:
            masked = masked.replace(':', '-')
        return masked.upper() if found.upper() == found else masked

    def _uuid(self, found: str) -> str:
        made = self._digest(found.lower(), 32)
        parts = made[:8], made[8:12], made[12:16], made[16:20], made[20:]
        return '-'.join(parts)

    def _digest(self, text: str, length: int) -> str:
        found = hmac.new(self._key, text.encode(), hashlib.sha256)
        return found.hexdigest()[:length]
