"""Untuned guests of a real libvirtd, assessed."""

import fixtures
import testtools

from kvm_tuning.core.assess.codes import CODES
from tests.fixtures import tiny_guest
from tests.fixtures.command import Command


class AssessTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.connection = self.useFixture(tiny_guest.Libvirt()).connection
        self.command = self.useFixture(Command())
        self.folder = self.useFixture(fixtures.TempDir()).path

    def start(self, edit):
        guest = tiny_guest.TinyGuest(self.connection, edit=edit)
        self.useFixture(guest)
        guest.domain.create()
        guest.wait_until_ready()
        return guest

    def assess(self, *argv):
        found = self.command.run(
            'guest', 'assess', '-f', 'json', '--fail-on', 'error', *argv
        )
        self.assertIn(found.status, (0, 1), found.stderr)
        return {
            each['guest']: {
                finding['code']: finding for finding in each['findings']
            }
            for each in found.document['guests']
        }

    def test_three_that_nobody_tuned(self):
        plain = self.start(lambda xml: xml)
        unsafe = self.start(
            lambda xml: xml.replace("type='raw'", "type='raw' cache='unsafe'")
        )
        slow = self.start(
            lambda xml: xml.replace(
                "<model type='virtio'/>", "<model type='e1000'/>"
            )
        )
        names = [each.name for each in (plain, unsafe, slow)]
        found = self.assess(*names)
        self.assertEqual(set(names), set(found))
        for codes in found.values():
            self.assertLessEqual(set(codes), set(CODES))
            self.assertIn('disk-no-iothread', codes)
        self.assertNotIn('disk-unsafe', found[plain.name])
        self.assertEqual(
            'error', found[unsafe.name]['disk-unsafe']['severity']
        )
        self.assertNotIn('nic-model', found[plain.name])
        self.assertEqual('warning', found[slow.name]['nic-model']['severity'])
        # By its process alone, it is the same.
        alone = self.assess('--no-libvirt', *names)
        for name in names:
            self.assertEqual(
                self.certain(found[name]), self.certain(alone[name])
            )

    def certain(self, findings):
        """Return the codes that no sample decides."""
        sampled = {'vcpus-wait', 'vcpus-migrate', 'foreign-threads'}
        return {
            code
            for code, finding in findings.items()
            if code not in sampled and finding['severity'] != 'unknown'
        }
