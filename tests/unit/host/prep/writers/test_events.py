"""Rules of udev's at the events of devices."""

import os

import fixtures
import testtools

from kvm_tuning.host.access.sysfs import MAX_BYTES, Tree
from kvm_tuning.host.prep.writers import events
from kvm_tuning.host.prep.writers.target import Target
from kvm_tuning.host.prep.writers.udev_events import Device

_RULE = 'ATTR{model}=="slow", ATTR{queue/scheduler}="bfq"\n'


class OfDevicesTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.put('etc/udev/rules.d/70-ours.rules', _RULE)

    def put(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w') as stream:
            stream.write(text)

    def disk(self, name, model):
        self.put(f'sys/block/{name}/model', model)
        return Device(Tree(self.root), f'sys/block/{name}', 'block')

    def writers(self, *devices):
        wanted = Target(
            frozenset(f'{d.real}/queue/scheduler' for d in devices)
        )
        return list(events.of_devices(Tree(self.root), wanted, devices))

    def test_a_rule_that_meets_a_device(self):
        (writer,) = self.writers(self.disk('sda', 'slow'))
        self.assertEqual('bfq', writer.value)
        self.assertEqual([], self.writers(self.disk('sdb', 'fast')))

    def rule(self, words):
        """Return whether a rule meets a disk."""
        self.put(
            'etc/udev/rules.d/70-ours.rules',
            f'{words}, ATTR{{queue/scheduler}}="bfq"\n',
        )
        return bool(self.writers(self.disk('sda', 'slow')))

    def test_a_word_of_the_kernel_command_line(self):
        self.put('proc/cmdline', 'quiet elevator=bfq')
        for words, found in (
            ('IMPORT{cmdline}="quiet"', True),
            ('IMPORT{cmdline}="elevator"', True),
            ('IMPORT{cmdline}="nothing"', False),
            ('IMPORT{cmdline}!="quiet"', False),
            ('IMPORT{cmdline}!="nothing"', True),
            ('IMPORT{cmdline}="elevator", ENV{elevator}=="bfq"', True),
            ('IMPORT{cmdline}="elevator", ENV{elevator}=="none"', False),
            ('IMPORT{cmdline}="quiet", ENV{quiet}=="1"', True),
        ):
            self.assertEqual(found, self.rule(words), words)

    def test_tags_and_kernel_settings(self):
        self.put('proc/sys/kernel/osrelease', '6.1')
        for words, found in (
            ('TAG=="seat"', False),
            ('TAG!="seat"', True),
            ('TAG+="seat"\nTAG=="seat"', True),
            ('SYSCTL{kernel.osrelease}=="6.1"', True),
            ('SYSCTL{kernel.osrelease}=="5.10"', False),
            ('SYSCTL{kernel.nothing}=="6.1"', False),
        ):
            self.assertEqual(found, self.rule(words), words)

    def test_a_device_that_cannot_be_read_may_meet_it(self):
        """It hides no other device, and is not taken for one without."""
        broken = self.disk('sda', 'x' * (MAX_BYTES + 1))
        unknown, found = self.writers(broken, self.disk('sdb', 'slow'))
        self.assertIn('cannot be determined', unknown.text)
        self.assertIsNone(unknown.value)
        self.assertEqual('bfq', found.value)
