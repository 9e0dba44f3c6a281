"""Keystone's check of tokens: what it needs, and what it waits for."""

import importlib
import socket
import sys
import time

import fixtures
import testtools
from testtools.matchers import LessThan

from kvm_tuning.conf import vendordata as options
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.wsgi import authentication, service
from tests.cloud_init.fake_cloud import FakeCloud

_CONF = """\
[vendordata]
{more}
[keystone_authtoken]
www_authenticate_uri = {url}
auth_url = {url}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = kvm-tuning
password = PASSWORD
http_connect_timeout = 2
http_request_max_retries = 0
service_token_roles_required = true
{token}
"""


class Missing(fixtures.Fixture):
    """A module that cannot be imported; the others stay as they are."""

    def __init__(self, name):
        self.name = name

    def _setUp(self):
        if self.name in sys.modules:
            self.addCleanup(
                sys.modules.__setitem__, self.name, sys.modules[self.name]
            )
        else:
            self.addCleanup(sys.modules.pop, self.name, None)
        sys.modules[self.name] = None


class AuthenticationTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for name in ('keystonemiddleware.auth_token', 'memcache'):
            try:
                # Here, as a part of it cannot be imported a second time.
                importlib.import_module(name)
            except ImportError as error:
                self.skipTest(f'{error.name} is not installed')
        self.useFixture(fixtures.FakeLogger())
        self.cloud = self.useFixture(FakeCloud({}))

    def conf(self, token='', more=''):
        path = self.useFixture(fixtures.TempDir()).join('conf')
        with open(path, 'w') as file:
            file.write(
                _CONF.format(url=self.cloud.url, token=token, more=more)
            )
        return options.load([path])

    def without(self, library):
        self.useFixture(Missing(library))

    def test_a_missing_library_fails_at_start(self):
        for library, token, said in (
            ('memcache', 'memcached_servers = h:11211',
             r'memcached_servers = h:11211 needs the library memcache'),
            ('bmemcached',
             'memcached_servers = h:11211\nmemcache_tls_enabled = true',
             'python-binary-memcached'),
            ('cryptography',
             'memcached_servers = h:11211\nmemcache_secret_key = k\n'
             'memcache_security_strategy = ENCRYPT', 'cryptography'),
            ('keystonemiddleware.auth_token', '',
             r'auth_strategy = keystone .*kvm-tuning\[vendordata\]'),
        ):  # fmt: skip
            conf = self.conf(token)
            with Missing(library):
                error = self.assertRaises(
                    ConfigInvalid, authentication.guard, None, conf
                )
            self.assertThat(
                str(error), testtools.matchers.MatchesRegex(f'.*{said}')
            )

    def test_what_is_not_used_need_not_be_there(self):
        self.without('memcache')
        authentication.guard(None, self.conf())

    def test_a_missing_binding_of_libvirt_fails_at_start(self):
        self.without('libvirt')
        conf = self.conf(more='source = libvirt')
        error = self.assertRaises(ConfigInvalid, service.make, conf)
        self.assertIn('kvm-tuning[libvirt]', str(error))

    def ask(self, made):
        """Return the status of a request with a good token, and seconds."""
        status = []
        begun = time.monotonic()
        environ = {
            'REQUEST_METHOD': 'POST', 'SERVER_NAME': 'x', 'SERVER_PORT': '1',
            'wsgi.url_scheme': 'http', 'HTTP_X_AUTH_TOKEN': 'nova-token',
        }  # fmt: skip
        list(made(environ, lambda line, headers: status.append(line)))
        return status[0], time.monotonic() - begun

    def test_a_memcached_that_hangs_costs_little(self):
        """It takes connections, and never answers."""
        servers = []
        for _each in range(2):
            hung = socket.create_server(('127.0.0.1', 0))
            self.addCleanup(hung.close)
            servers.append(f'127.0.0.1:{hung.getsockname()[1]}')
        made = authentication.guard(
            self.answer, self.conf(f'memcached_servers = {",".join(servers)}')
        )
        for _request in range(3):
            status, seconds = self.ask(made)
            self.assertEqual('200 OK', status)
            # Two timeouts of a second; keystonemiddleware's own are two of
            # three seconds.
            self.assertThat(seconds, LessThan(5))

    def test_a_timeout_that_is_set_is_kept(self):
        conf = self.conf('memcache_pool_socket_timeout = 2')
        authentication.guard(None, conf)
        self.assertEqual(
            2, conf.keystone_authtoken.memcache_pool_socket_timeout
        )

    @staticmethod
    def answer(environ, start_response):
        start_response('200 OK', [])
        return [environ['HTTP_X_IDENTITY_STATUS'].encode()]
