"""The WSGI application that answers Nova's requests for vendordata.

Nova posts a JSON object with ``instance-id`` and more, and puts the answer
below the name of its target: with ``vendordata_dynamic_targets =
cloud-init@http://...`` the answer is the value of the key ``cloud-init``.

What is wrong with a request is answered with 4xx. What goes wrong here is
logged and answered with ``{}``: the guest boots, untuned.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
import logging
import time
from typing import Any
import uuid

from kvm_tuning.core import guest_boot
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import KvmTuningError

LOG = logging.getLogger(__name__)

Environ = Mapping[str, Any]
StartResponse = Callable[..., Any]

#: Bytes that are read at one time.
_PIECE = 16384
_STATUS = {
    200: '200 OK',
    400: '400 Bad Request',
    403: '403 Forbidden',
    404: '404 Not Found',
    405: '405 Method Not Allowed',
    408: '408 Request Timeout',
    411: '411 Length Required',
    413: '413 Content Too Large',
}


class Wrong(Exception):
    """The request is wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Application:
    """Answers POST requests; each is independent of all others.

    :param lookup: returns a server's settings; None: no such server.
    :param roles: who may ask; None: anybody.
    """

    def __init__(
        self,
        lookup: Callable[[str], Sequence[Setting] | None],
        roles: Iterable[str] | None,
        most_bytes: int,
        body_timeout: float,
    ) -> None:
        self._lookup = lookup
        self._roles = None if roles is None else frozenset(roles)
        self._most_bytes = most_bytes
        self._body_timeout = body_timeout

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> list[bytes]:
        """Answer a request (PEP 3333)."""
        status, answer = 200, {}  # type: int, Any
        try:
            answer = self._answer(environ)
        except Wrong as error:
            status, answer = error.status, {'error': str(error)}
        except Exception:
            LOG.exception('a guest gets no vendordata')
        body = json.dumps(answer).encode()
        headers = [
            ('Content-Type', 'application/json'),
            ('Content-Length', str(len(body))),
        ]
        if status == 405:
            headers.append(('Allow', 'POST'))
        if status >= 400:
            # The body may not have been read.
            headers.append(('Connection', 'close'))
        start_response(_STATUS[status], headers)
        return [body]

    def _answer(self, environ: Environ) -> Any:
        if environ.get('REQUEST_METHOD') != 'POST':
            raise Wrong(405, 'want POST')
        self._authorize(environ)
        server = _server(self._body(environ))
        try:
            settings = self._lookup(server)
        except KvmTuningError as error:
            LOG.error(
                'server %s gets no vendordata: %s: %s',
                server,
                error.code,
                error,
            )
            return {}
        if settings is None:
            raise Wrong(404, f'there is no server {server}')
        return guest_boot.vendordata(settings)

    def _authorize(self, environ: Environ) -> None:
        if self._roles is None:
            return
        # auth_token has checked the token, and answers 401 itself.
        found = str(environ.get('HTTP_X_ROLES', '')).split(',')
        if environ.get('HTTP_X_IDENTITY_STATUS') != 'Confirmed' or not (
            self._roles & {role.strip() for role in found}
        ):
            raise Wrong(
                403, f'want a role of {", ".join(sorted(self._roles))}'
            )

    def _body(self, environ: Environ) -> bytes:
        length = environ.get('CONTENT_LENGTH') or ''
        if not length.isdecimal() or len(length) > 18:
            raise Wrong(411, 'want a Content-Length')
        if int(length) > self._most_bytes:
            raise Wrong(413, f'want at most {self._most_bytes} bytes')
        try:
            return self._read(environ, int(length))
        except TimeoutError as error:
            raise Wrong(408, 'the body did not come') from error

    def _read(self, environ: Environ, length: int) -> bytes:
        """Return the body, within its time where the server lets it be
        bounded: gunicorn tells its socket.
        """
        socket = environ.get('gunicorn.socket')
        end = time.monotonic() + self._body_timeout
        found = b''
        while len(found) < length:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if socket is not None:
                socket.settimeout(left)
            piece = environ['wsgi.input'].read(
                min(_PIECE, length - len(found))
            )
            if not piece:
                raise Wrong(400, 'the body is shorter than its Content-Length')
            found += piece
        if socket is not None:
            socket.settimeout(self._body_timeout)
        return found


def _server(body: bytes) -> str:
    """Return the UUID of the server that a request is about."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Wrong(400, 'want JSON') from error
    if not isinstance(found, dict):
        raise Wrong(400, 'want a JSON object')
    try:
        return str(uuid.UUID(found.get('instance-id')))
    except (ValueError, TypeError, AttributeError) as error:
        raise Wrong(400, 'want instance-id, a UUID') from error
