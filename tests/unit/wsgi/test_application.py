"""The vendordata service's answers, called as a WSGI server does."""

import io
import json
import time

import fixtures
import testtools
from testtools.matchers import Contains, Equals, LessThan, StartsWith

from kvm_tuning.adapters.vendordata.lookup import Lookup
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.core.exceptions import CloudFailed
from kvm_tuning.wsgi.application import Application

SERVER = '6c5ed1bd-a3f8-4a4e-b8c5-a1b2c3d4e5f6'
SETTINGS = (
    Setting(
        'guest', 'irqbalance', 'on', Scope.GUEST, Phase.AFTER_START
    ),
)  # fmt: skip


class Stuck:
    """A body that never comes."""

    def __init__(self, seconds):
        self.seconds = seconds

    def read(self, _size):
        time.sleep(self.seconds)
        raise TimeoutError


class ApplicationTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logger = self.useFixture(fixtures.FakeLogger())
        self.asked = []

    def lookup(self, server):
        self.asked.append(server)
        return SETTINGS if server == SERVER else None

    def post(self, body=None, lookup=None, roles=None, most=1024, **environ):
        if body is None:
            body = {'instance-id': SERVER, 'project-id': 'p'}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        answered = []
        parts = Application(lookup or self.lookup, roles, most, 1.0)(
            {
                'REQUEST_METHOD': 'POST',
                'CONTENT_LENGTH': str(len(body)),
                'wsgi.input': io.BytesIO(body),
                **environ,
            },
            lambda status, headers: answered.append((status, headers)),
        )
        ((status, headers),) = answered
        text = b''.join(parts)
        self.assertEqual(str(len(text)), dict(headers)['Content-Length'])
        return int(status[:3]), json.loads(text)

    def test_a_server(self):
        status, answer = self.post()
        self.assertEqual(200, status)
        self.assertThat(answer, StartsWith('#cloud-boothook\n'))
        self.assertEqual([SERVER], self.asked)

    def test_a_server_that_is_not_to_be_tuned(self):
        self.assertEqual((200, {}), self.post(lookup=lambda _server: ()))

    def test_what_is_wrong_with_a_request(self):
        for wanted, given in (
            (404, {'body': {'instance-id': SERVER[:-1] + '0'}}),
            (400, {'body': b''}),
            (400, {'body': b'{'}),
            (400, {'body': b'[' * 1000}),
            (400, {'body': b'\xff\xfe'}),
            (400, {'body': []}),
            (400, {'body': {}}),
            (400, {'body': {'instance-id': '../x'}}),
            (400, {'body': {'instance-id': 7}}),
            (400, {'body': {'instance-id': None}}),
            (413, {'body': b' ' * 1025}),
            (411, {'CONTENT_LENGTH': ''}),
            (411, {'CONTENT_LENGTH': '-1'}),
            (411, {'CONTENT_LENGTH': '9' * 5000}),
            (413, {'CONTENT_LENGTH': '9' * 18}),
            (400, {'CONTENT_LENGTH': '1000'}),
            (405, {'REQUEST_METHOD': 'GET'}),
            (408, {'wsgi.input': Stuck(0)}),
        ):
            status, answer = self.post(**given)
            self.assertEqual(wanted, status, given)
            self.assertEqual(['error'], list(answer))
        self.assertEqual('', self.logger.output)

    def test_who_may_ask(self):
        for status, environ in (
            (403, {}),
            (403, {'HTTP_X_ROLES': 'service'}),
            (403, {'HTTP_X_IDENTITY_STATUS': 'Invalid',
                   'HTTP_X_ROLES': 'service'}),
            (403, {'HTTP_X_IDENTITY_STATUS': 'Confirmed',
                   'HTTP_X_ROLES': 'member,reader'}),
            (200, {'HTTP_X_IDENTITY_STATUS': 'Confirmed',
                   'HTTP_X_ROLES': 'member, service'}),
        ):  # fmt: skip
            self.assertEqual(
                status, self.post(roles=['service'], **environ)[0], environ
            )
        self.assertEqual([SERVER], self.asked)

    def test_an_error_of_ours_is_an_empty_answer_and_a_line(self):
        def refuse(_server):
            raise CloudFailed('GET /servers/x: 503')

        self.assertEqual((200, {}), self.post(lookup=refuse))
        self.assertThat(
            self.logger.output, Contains(f'{SERVER} gets no vendordata: Cloud')
        )

    def test_a_bug_is_an_empty_answer_and_a_trace(self):
        def fail(_server):
            raise ZeroDivisionError

        self.assertEqual((200, {}), self.post(lookup=fail))
        self.assertThat(self.logger.output, Contains('ZeroDivisionError'))


class LookupTest(testtools.TestCase):
    def test_gives_up_what_hangs_and_says_so_at_once_when_all_do(self):
        lookup = Lookup(lambda _server: time.sleep(1), 0.05, 2)
        begun = time.monotonic()
        for _ in range(2):
            self.assertRaises(CloudFailed, lookup, SERVER)
        said = str(self.assertRaises(CloudFailed, lookup, SERVER))
        self.assertThat(said, Equals('all lookups hang'))
        self.assertThat(time.monotonic() - begun, LessThan(0.9))

    def test_passes_answers_and_errors(self):
        self.assertEqual(SETTINGS, Lookup(lambda _s: SETTINGS, 1, 1)(SERVER))
        lookup = Lookup(lambda _server: {}['x'], 1, 1)
        for _ in range(3):
            self.assertRaises(KeyError, lookup, SERVER)
        slow = Lookup(lambda _server: self._time_out(), 1, 1)
        self.assertRaises(TimeoutError, slow, SERVER)

    def test_a_thread_that_does_not_start_takes_no_place(self):
        def start(_thread):
            raise RuntimeError("can't start new thread")

        lookup = Lookup(lambda _server: SETTINGS, 1, 1)
        with fixtures.MonkeyPatch('threading.Thread.start', start):
            for _ in range(2):
                said = str(self.assertRaises(CloudFailed, lookup, SERVER))
                self.assertThat(said, Contains("can't start new thread"))
        self.assertEqual(SETTINGS, lookup(SERVER))

    @staticmethod
    def _time_out():
        raise TimeoutError('of its own')
