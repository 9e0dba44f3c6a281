"""guest vendordata: what is printed for any guest."""

import contextlib
import json
from types import SimpleNamespace

import fixtures
import testtools
from testtools.matchers import StartsWith

from kvm_tuning.core import guest_boot
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.hooks.guest_tuning import for_any_guest
from tests.fixtures.command import Command

ONE = Setting('guest', 'irqbalance', 'on', Scope.GUEST, Phase.AFTER_START)


class GuestVendordataTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.command = self.useFixture(Command())

    def test_static(self):
        done = self.command.run('guest', 'vendordata')
        self.assertEqual(0, done.status)
        # cloud-init takes a text there, and no mapping.
        wanted = {'cloud-init': guest_boot.vendordata(for_any_guest())}
        self.assertEqual(wanted, json.loads(done.stdout))
        self.assertIsInstance(wanted['cloud-init'], str)

    def test_script(self):
        done = self.command.run('guest', 'vendordata', '--script')
        self.assertThat(done.stdout, StartsWith('#cloud-boothook\n#!/bin/sh'))

    def of(self, settings, *words):
        """Run it for a guest whose receipt has settings."""
        asked = []

        @contextlib.contextmanager
        def opened(uri, read_only=False):
            asked.append((uri, read_only))
            yield SimpleNamespace(
                record=lambda name: SimpleNamespace(uuid=f'uuid of {name}')
            )

        def found(uri, uuid):
            asked.append((uri, uuid))
            return settings

        for name, value in (
            ('connection.open', opened),
            ('vendordata.receipts.settings', found),
        ):
            path = f'kvm_tuning.adapters.{name}'
            self.useFixture(fixtures.MonkeyPatch(path, value))
        done = self.command.run(
            'guest', 'vendordata', 'web', '--connect', 'qemu:///x', *words
        )
        self.assertEqual(
            [('qemu:///x', True), ('qemu:///x', 'uuid of web')], asked
        )
        return done

    def test_of_a_guest(self):
        done = self.of([ONE])
        self.assertEqual((0, ''), (done.status, done.stderr))
        wanted = {'cloud-init': guest_boot.vendordata([ONE])}
        self.assertEqual(wanted, done.document)

    def test_of_a_guest_without_anything_to_do(self):
        self.assertEqual({'cloud-init': {}}, self.of([]).document)
        done = self.of([], '--script')
        self.assertEqual((2, ''), (done.status, done.stdout))
        self.assertIn('there is nothing for this guest to do', done.stderr)

    def test_of_a_guest_that_is_gone(self):
        done = self.of(None)
        self.assertEqual((3, ''), (done.status, done.stdout))
        self.assertIn("domain 'web' is gone", done.stderr)
