"""On libvirt's own test driver: a libvirt without QEMU."""

import json
import os

import fixtures
import testtools

from kvm_tuning.adapters import connection
from kvm_tuning.core import domain
from kvm_tuning.core.exceptions import LibvirtFailed
from tests.fixtures import domain_store
from tests.fixtures.command import Command

URI = 'test:///default'


class LibvirtTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        try:
            import libvirt
        except ImportError:
            self.skipTest('libvirt-python is not installed')
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        # Kept open: test:///default forgets with its last connection.
        self.raw = libvirt.open(URI)
        self.addCleanup(self.raw.close)
        self.addCleanup(self.remove)
        text = domain_store.xml('g').replace("'kvm'", "'test'")
        self.raw.defineXML(text.replace(" arch='x86_64' machine='q35'", ''))

    def remove(self):
        guest = self.raw.lookupByName('g')
        if guest.isActive():
            guest.destroy()
        guest.undefine()

    def definition(self):
        return self.raw.lookupByName('g').XMLDesc(2)


class ConnectionTest(LibvirtTest):
    def setUp(self):
        super().setUp()
        opened = connection.open(URI)
        self.libvirt = opened.__enter__()
        self.addCleanup(opened.__exit__, None, None, None)

    def test_records(self):
        stopped, running = self.libvirt.records()
        self.assertEqual(('g', 'test'), (stopped.name, running.name))
        self.assertIsNone(stopped.live)
        self.assertEqual({}, stopped.vcpus)
        self.assertEqual({0, 1}, set(running.vcpus))
        self.assertEqual('test', domain.read(running.live).current.name)

    def test_who_is_busy(self):
        # The driver has no jobs: nobody is.
        self.assertEqual(frozenset(), self.libvirt.busy())

    def test_metadata_of_a_running_domain(self):
        uri = 'urn:example:1'
        running = self.raw.lookupByName('test')
        self.libvirt.set_metadata('test', '<x/>', 'e', uri)
        self.addCleanup(running.setMetadata, 2, None, None, uri, 1)
        self.assertIn(uri, running.XMLDesc())
        self.libvirt.drop_metadata('test', uri)
        self.assertNotIn(uri, running.XMLDesc())

    def test_where_vcpus_may_run(self):
        found = self.libvirt.vcpu_pins('test')
        self.assertEqual(self.libvirt.record('test').vcpus, found)
        self.assertEqual({0, 1}, set(found))

    def test_one_by_uuid(self):
        uuid = self.raw.lookupByName('g').UUIDString()
        self.assertEqual('g', self.libvirt.record(uuid).name)

    def test_none(self):
        error = self.assertRaises(LibvirtFailed, self.libvirt.record, 'x')
        self.assertEqual('LibvirtFailed', error.code)
        self.assertIn("lookupByName of domain 'x': ", str(error))

    def test_versions(self):
        libvirt_version, _qemu = self.libvirt.versions()
        self.assertGreaterEqual(libvirt_version, (9, 0, 0))

    def test_a_start(self):
        self.libvirt.start('g')
        self.assertIsNotNone(self.libvirt.record('g').live)
        error = self.assertRaises(LibvirtFailed, self.libvirt.start, 'g')
        self.assertIn("create of domain 'g': ", str(error))

    def test_a_rejected_definition(self):
        before = self.definition()
        broken = before.replace('<vcpu', '<vcpu placement="x"')
        error = self.assertRaises(
            LibvirtFailed, self.libvirt.define, 'g', broken
        )
        self.assertIn("defineXML of domain 'g': ", str(error))
        self.assertEqual(before, self.definition())

    def test_nobody_answers(self):
        opened = connection.open('nothing:///system')
        error = self.assertRaises(LibvirtFailed, opened.__enter__)
        self.assertIn('nothing:///system', str(error))


class CommandsTest(LibvirtTest):
    """The guest commands from end to end, but for QEMU."""

    def setUp(self):
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.config = os.path.join(folder, 'c.conf')
        with open(self.config, 'w') as file:
            file.write(f'[libvirt]\nuri = {URI}\nlock_path = {folder}\n')
        self.flavor = os.path.join(folder, 'flavor.json')
        flavor = {
            'name': 'f', 'id': '1', 'vcpus': 2, 'ram': 256, 'disk': 1,
            'properties': {'kvm:page_sharing': 'false'},
        }  # fmt: skip
        with open(self.flavor, 'w') as file:
            json.dump(flavor, file)
        self.command = self.useFixture(Command())

    def guest(self, verb, *argv):
        return self.command.run(
            '--config-file', self.config, 'guest', verb, *argv
        )

    def test_tune_and_undo(self):
        before = self.definition()
        tune = ('g', '--flavor', self.flavor, '--detailed-exit-codes')
        done = self.guest('tune', *tune)
        self.assertEqual(4, done.status, done.stderr)
        self.assertIn('g: tuned', done.stdout)
        self.assertIn('<nosharepages/>', self.definition())
        again = self.guest('tune', *tune, '-f', 'json')
        self.assertEqual(0, again.status)
        self.assertFalse(again.document['changed'])

        listed = self.guest('list', '-f', 'json').document
        self.assertEqual(
            {'g': ('defined', 'f'), 'test': ('running', '')},
            {row['guest']: (row['state'], row['flavor']) for row in listed},
        )
        undone = self.guest('undo', 'g', '--detailed-exit-codes')
        self.assertEqual(4, undone.status)
        self.assertEqual(before, self.definition())
        again = self.guest('undo', 'g', '--detailed-exit-codes')
        self.assertEqual(0, again.status)
        self.assertIn('nothing to change', again.stdout)

    def test_a_running_guest(self):
        self.assertEqual('g: started\n', self.guest('start', 'g').stdout)
        self.assertEqual('g: runs already\n', self.guest('start', 'g').stdout)
        done = self.guest('tune', 'g', '--flavor', self.flavor)
        self.assertEqual(0, done.status)
        self.assertIn('Needs a restart', done.stdout)
        self.assertIn('g: tuned, restart it', done.stdout)

    def test_a_plan_changes_nothing(self):
        before = self.definition()
        done = self.guest(
            'plan', '--flavor', self.flavor, '--domain', 'g',
            '--show', 'diff',
        )  # fmt: skip
        self.assertEqual(0, done.status, done.stderr)
        self.assertIn('+    <nosharepages/>', done.stdout)
        self.assertEqual(before, self.definition())

    def test_an_audit_of_a_stopped_guest(self):
        self.guest('tune', 'g', '--flavor', self.flavor)
        done = self.guest('audit', '-f', 'json')
        self.assertEqual(0, done.status, done.stderr)
        (audited,) = done.document['guests']
        self.assertEqual('g', audited['guest'])
        table = self.guest('audit', 'g')
        self.assertIn('memoryBacking/nosharepages', table.stdout)

    def test_an_audit_of_a_receipt_that_was_edited(self):
        self.guest('tune', 'g', '--flavor', self.flavor)
        self.raw.defineXML(
            self.definition().replace('source="flavor"', 'source="me"')
        )
        done = self.guest('audit', 'g', '-f', 'json')
        self.assertEqual(1, done.status)
        (finding,) = done.document['guests'][0]['findings']
        self.assertEqual('receipt-unreadable', finding['code'])

    def test_an_audit_of_a_guest_that_cannot_be_looked_at(self):
        self.guest('tune', 'g', '--flavor', self.flavor)
        self.guest('start', 'g')
        # The test driver's guests have no process.
        done = self.guest('audit', '-f', 'json')
        self.assertEqual(3, done.status)
        (finding,) = done.document['guests'][0]['findings']
        self.assertEqual('not-observed', finding['code'])
        self.assertEqual('unknown', finding['severity'])

    def test_an_audit_without_guests(self):
        done = self.guest('audit')
        self.assertEqual(0, done.status)
        self.assertIn('no guest was tuned', done.stdout)

    def test_a_guest_that_is_not_there(self):
        for verb in ('start', 'undo', 'repin', 'audit'):
            done = self.guest(verb, 'nobody')
            self.assertEqual((3, ''), (done.status, done.stdout), verb)
            self.assertIn('LibvirtFailed: ', done.stderr)

    def test_a_refusal(self):
        done = self.guest('repin', 'g')
        self.assertEqual((1, ''), (done.status, done.stdout))
        self.assertIn('Unsupported: ', done.stderr)


class RawError(Exception):
    """An error with one of libvirt's codes (virterror.h)."""

    def __init__(self, code=1):
        super().__init__(f'error {code}')
        self.code = code

    def get_error_code(self):
        return self.code


class Raw:
    """A running domain, and the connection that finds it."""

    def __init__(self, **failing):
        self.calls = []
        self.failing = failing

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            if name in self.failing:
                raise RawError(self.failing[name])
            if name == 'jobInfo':
                return [self.job]
            if name == 'emulatorPinInfo':
                return (True, False, True)
            if name == 'listAllDomains':
                return [self]
            return self if name.startswith('lookup') else name

        return call


class CallsTest(testtools.TestCase):
    """What a driver that does not run here is asked."""

    def calls(self, act, **failing):
        self.raw = Raw(**failing)
        self.found = act(connection.Connection(self.raw, RawError))
        return [c for c in self.raw.calls if not c[0].startswith('lookup')]

    def test_pins(self):
        cpus = frozenset({0, 2})
        live = 1
        mask = (True, False, True)
        for act, call in (
            (
                lambda c: c.pin_vcpu('g', 1, cpus),
                ('pinVcpuFlags', 1, mask, live),
            ),
            (lambda c: c.pin_emulator('g', cpus), ('pinEmulator', mask, live)),
            (
                lambda c: c.pin_iothread('g', 3, cpus),
                ('pinIOThread', 3, mask, live),
            ),
            (lambda c: c.emulator_pin('g'), ('emulatorPinInfo', live)),
        ):
            self.assertEqual([call], self.calls(act))
        self.assertEqual(cpus, self.found)

    def test_a_pin_that_fails_says_which(self):
        for act, failing, words in (
            (
                lambda c: c.pin_vcpu('g', 1, frozenset({4, 5})),
                'pinVcpuFlags',
                'vCPU 1 to 4-5',
            ),
            (
                lambda c: c.pin_emulator('g', frozenset({4})),
                'pinEmulator',
                'pinEmulator to 4',
            ),
            (
                lambda c: c.pin_iothread('g', 3, frozenset({4})),
                'pinIOThread',
                'pinIOThread 3 to 4',
            ),
        ):
            error = self.assertRaises(
                LibvirtFailed, self.calls, act, **{failing: 1}
            )
            self.assertIn(words, str(error))
            self.assertIn("'g'", str(error))

    def test_running_ones(self):
        self.assertEqual(
            ('listAllDomains', 1), self.calls(lambda c: c.running())[0]
        )
        self.assertEqual({'UUIDString': 'name'}, self.found)

    def test_a_job_and_what_cannot_be_asked_are_busy(self):
        for job, busy in ((0, False), (1, True)):
            raw = Raw()
            raw.job = job
            found = connection.Connection(raw, RawError).busy()
            self.assertEqual(busy, bool(found), job)
        for code, busy in ((3, False), (1, True), (38, True)):
            self.calls(lambda c: c.busy(), jobInfo=code)
            self.assertEqual(busy, bool(self.found), code)

    def test_none_by_uuid(self):
        self.calls(lambda c: c.find('u'), lookupByUUIDString=42)
        self.assertIsNone(self.found)
        self.assertRaises(
            LibvirtFailed,
            self.calls,
            lambda c: c.find('u'),
            lookupByUUIDString=1,
        )

    def test_metadata(self):
        element, live = 2, 1
        self.assertEqual(
            [('setMetadata', element, '<x/>', 'e', 'urn:x', live)],
            self.calls(lambda c: c.set_metadata('g', '<x/>', 'e', 'urn:x')),
        )
        self.assertEqual(
            [('setMetadata', element, None, None, 'urn:x', live)],
            self.calls(lambda c: c.drop_metadata('g', 'urn:x')),
        )

    def test_a_monitor(self):
        asked = []

        class Qemu:
            @staticmethod
            def qemuMonitorCommand(raw, text, flags):
                asked.append((json.loads(text), flags))
                return '{"return": {}}'

        self.useFixture(
            fixtures.MonkeyPatch('sys.modules', {'libvirt_qemu': Qemu})
        )
        ask = connection.Connection(Raw(), RawError).monitor('g')
        self.assertEqual({'return': {}}, ask({'execute': 'x'}))
        self.assertEqual([({'execute': 'x'}, 0)], asked)
