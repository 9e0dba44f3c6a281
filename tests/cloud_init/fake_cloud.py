"""Keystone, Nova and Glance, as far as the vendordata service asks them."""

import contextlib
import http.server
import json
import threading
import time

import fixtures

#: Tokens, and the roles that they give.
TOKENS = {'nova-token': 'service', 'tenant-token': 'member'}
_OWN = 'own-token'


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request.

    :cvar cloud: the FakeCloud
    """

    protocol_version = 'HTTP/1.1'

    def log_message(self, *_args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self._answer(
            201, self.cloud.token('service'), {'X-Subject-Token': _OWN}
        )

    def do_GET(self):
        part = self.path.strip('/').split('/')
        if part == ['identity', 'v3', 'auth', 'tokens']:
            role = TOKENS.get(self.headers['X-Subject-Token'])
            if role is None:
                self._answer(404, {'error': {'message': 'no such token'}})
            else:
                self._answer(200, self.cloud.token(role))
        elif part[0] == 'identity':
            version = self._version('v3.14', 'identity/v3')
            self._answer(*(
                (200, {'version': version}) if part[1:] else
                (300, {'versions': {'values': [version]}})
            ))  # fmt: skip
        elif part[0] == 'compute' and part[2:3] == ['servers']:
            self._server(part[3])
        elif part[0] == 'compute':
            self._answer(200, {'version': {
                **self._version('v2.1', 'compute/v2.1'),
                'version': '2.96', 'min_version': '2.1',
            }})  # fmt: skip
        elif part == ['image', 'v2', 'images', '1']:
            self._answer(200, {'id': '1', 'hw_vif_multiqueue_enabled': 'no'})
        else:
            self._answer(300, {'versions': [
                self._version('v2.16', 'image/v2')
            ]})  # fmt: skip

    def _server(self, id_):
        time.sleep(self.cloud.delay)
        found = self.cloud.servers.get(id_)
        status = 404 if found is None else self.cloud.status
        self._answer(status, {'server': found})

    def _version(self, id_, path):
        return {
            'id': id_, 'status': 'CURRENT',
            'links': [{'rel': 'self', 'href': f'{self.cloud.base}/{path}/'}],
        }  # fmt: skip

    def _answer(self, status, document, headers=None):
        body = json.dumps(document).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.end_headers()
            self.wfile.write(body)


class FakeCloud(fixtures.Fixture):
    """Listens on one port of loopback.

    :cvar handler: answers its requests

    :ivar url: the identity endpoint
    :ivar servers: of GET /servers/ID, by ID
    :ivar delay: seconds that Nova waits before an answer
    :ivar status: what Nova answers
    """

    handler = Handler

    def __init__(self, servers):
        super().__init__()
        self.servers = servers
        self.delay = 0
        self.status = 200

    def _setUp(self):
        handler = type('Handler', (self.handler,), {'cloud': self})
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        server.daemon_threads = True
        self.base = f'http://127.0.0.1:{server.server_port}'
        self.url = f'{self.base}/identity'
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def token(self, role):
        """Return a token's document."""

        def entry(kind, path):
            url = f'{self.base}/{path}'
            return {
                'type': kind, 'id': kind, 'name': kind,
                'endpoints': [
                    {'interface': each, 'region': 'R', 'region_id': 'R',
                     'id': each, 'url': url}
                    for each in ('public', 'internal', 'admin')
                ],
            }  # fmt: skip

        domain = {'id': 'default', 'name': 'Default'}
        return {
            'token': {
                'methods': ['password'],
                'expires_at': '2099-01-01T00:00:00.000000Z',
                'issued_at': '2026-01-01T00:00:00.000000Z',
                'user': {'id': 'u', 'name': 'u', 'domain': domain},
                'project': {'id': 'p', 'name': 'p', 'domain': domain},
                'roles': [{'id': role, 'name': role}],
                'catalog': [
                    entry('identity', 'identity'),
                    entry('compute', 'compute/v2.1'),
                    entry('image', 'image'),
                ],
            }
        }
