"""guest vendordata: what is printed for any guest."""

import json

import testtools
from testtools.matchers import StartsWith

from kvm_tuning.core import guest_boot
from kvm_tuning.hooks.guest_tuning import for_any_guest
from tests.fixtures.command import Command


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
