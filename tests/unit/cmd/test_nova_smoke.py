"""``nova smoke`` as people and programs see it."""

import contextlib
from types import SimpleNamespace

import fixtures

from kvm_tuning.adapters.smoke import Sizes
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.exceptions import CloudFailed, LibvirtFailed
from tests.unit.cmd.base import CommandTest

HERE = SimpleNamespace(
    status='ACTIVE', seconds=3.21, host='node1', why='', uuid='u'
)
FAILED = SimpleNamespace(
    status='ERROR', seconds=1.0, host='', why='no room', uuid='u'
)


def finding(severity):
    return SimpleNamespace(
        severity=severity, address='vcpu', found='1', wanted='2'
    )


class SmokeTest(CommandTest):
    def smoke(self, booted, findings=(), error=None, status=0, more=()):
        """Return the document, and what the cloud was asked for."""
        asked = []

        class Smoke:
            def __init__(self, *arguments):
                asked.append(arguments)

            @contextlib.contextmanager
            def boot(self, flavor, specs, sizes, timeout):
                asked.append((flavor.name, sizes, timeout))
                if isinstance(booted, Exception):
                    raise booted
                yield booted

        @contextlib.contextmanager
        def opened(uri, read_only=False):
            if error:
                raise error
            asked.append((uri, read_only))
            yield 'libvirt'

        def audit(libvirt, conf, guests):
            asked.append((libvirt, guests))
            return [SimpleNamespace(findings=list(findings))]

        for name, value in (
            ('cloud.connect', lambda name: f'cloud {name}'),
            ('smoke.Smoke', Smoke),
            ('connection.open', opened),
            ('audit.audit', audit),
        ):
            path = f'kvm_tuning.adapters.{name}'
            self.useFixture(fixtures.MonkeyPatch(path, value))
        argv = (
            'nova', 'smoke', '--image', 'cirros', '--os-cloud', 'here',
            '--connect', 'qemu:///x', *more, self.flavor(),
        )  # fmt: skip
        self.text = self.run_command(*argv).stdout
        del asked[:]
        done = self.run_command(*argv, '-f', 'json')
        self.assertEqual(status, done.status, done.stderr)
        (row,) = done.document
        return row, asked

    def test_as_promised(self):
        row, asked = self.smoke(
            HERE,
            [finding(Severity.OK), finding(Severity.OK)],
            more=('--most-vcpus', '1', '--most-ram', '2', '--most-disk', '3',
                  '--network', 'n'),
        )  # fmt: skip
        self.assertEqual(
            {
                'flavor': 'f', 'status': 'ACTIVE', 'seconds': '3.2',
                'host': 'node1', 'audit': '2 ok', 'why': '', 'kept': True,
            },
            row,
        )  # fmt: skip
        made, booted, opened, audited = asked
        self.assertEqual(('cloud here', 'cirros', 'n'), made)
        name, sizes, timeout = booted
        self.assertEqual(('f', 300.0), (name, timeout))
        self.assertEqual(sizes, Sizes(1, 2, 3))
        self.assertEqual(('qemu:///x', True), opened)
        self.assertEqual(('libvirt', ['u']), audited)
        self.assertIn('1 of 1 as promised', self.text)

    def test_a_broken_promise(self):
        row, _asked = self.smoke(
            HERE, [finding(Severity.OK), finding(Severity.ERROR)], status=1
        )
        self.assertEqual('1 ok, 1 error', row['audit'])
        self.assertEqual('vcpu: 1, not 2', row['why'])
        self.assertIs(False, row['kept'])
        self.assertIn('0 of 1 as promised', self.text)

    def test_a_warning_breaks_none(self):
        row, _asked = self.smoke(HERE, [finding(Severity.WARNING)])
        self.assertIs(True, row['kept'])

    def test_a_server_that_does_not_become_active(self):
        row, asked = self.smoke(FAILED, status=1)
        self.assertEqual(
            {
                'flavor': 'f', 'status': 'ERROR', 'seconds': '1.0',
                'host': '', 'audit': '', 'why': 'no room', 'kept': False,
            },
            row,
        )  # fmt: skip
        self.assertEqual(2, len(asked))

    def test_a_cloud_that_refuses(self):
        row, _asked = self.smoke(CloudFailed('HTTP 400'), status=1)
        self.assertEqual(
            ('refused', 'HTTP 400', False, ''),
            (row['status'], row['why'], row['kept'], row['seconds']),
        )

    def test_a_libvirt_that_does_not_answer(self):
        row, _asked = self.smoke(HERE, error=LibvirtFailed('gone'), status=3)
        self.assertIsNone(row['kept'])
        self.assertEqual('gone', row['why'])
        self.assertNotEqual('', row['audit'])
