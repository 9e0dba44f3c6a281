"""VF attributes are set on record and restored; threads are placed."""

import json
import os

import fixtures
from oslo_privsep.daemon import FailedToDropPrivileges
import testtools

from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.core.exceptions import JournalFailed
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import vf_journal
from kvm_tuning.host.guests.settings import (
    Engine,
    Owner,
    PrivilegedWriter,
    Result,
)
from tests.fixtures.fake_vfs import FakeWriter, add_process, affinities

PRIVSEP = 'kvm_tuning.host.guests.privsep'
PF = '0000:41:00.0'
VF = (PF, 3)


def attribute(name, value, vf=VF):
    return Setting(
        'vf-attribute',
        f'{vf[0]}/{vf[1]}/{name}',
        value,
        Scope.INSTANCE,
        Phase.BEFORE_START,
    )


def vhost(cpus):
    return Setting(
        'thread-affinity', 'vhost', cpus, Scope.INSTANCE, Phase.AFTER_START
    )


OWNER = Owner('u1', 'web')


class PrivilegedTest(testtools.TestCase):
    def test_who_must_act_when_there_is_no_helper(self):
        """It is an error of the write, as any other."""

        def refused(*_words):
            raise FailedToDropPrivileges('privsep helper command exited')

        for name in ('set_vf_attribute', 'set_affinity'):
            self.useFixture(fixtures.MonkeyPatch(f'{PRIVSEP}.{name}', refused))
        for call in (
            lambda writer: writer.set_vf(OWNER, PF, 3, 'vlan', '7'),
            lambda writer: writer.set_affinity(OWNER, 1, frozenset({0})),
        ):
            error = self.assertRaises(OSError, call, PrivilegedWriter())
            self.assertIn('helper_command', str(error))
            self.assertIn('exited', str(error))


class EngineTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.boot('first')
        self.writer = FakeWriter(VF, (PF, 4), root=self.root)
        self.engine = Engine(self.writer, System(self.root))
        self.owner = Owner('u1', 'web', {VF})

    def boot(self, name):
        path = f'{self.root}/proc/sys/kernel/random/boot_id'
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(name)

    @property
    def journal(self):
        path = f'{self.root}/{vf_journal.PATH}'
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return json.load(file)['entries']

    def set(self, *settings, owner=None):
        steps = self.engine.before_start(owner or self.owner, settings)
        return [step.result for step in steps]

    def end(self, *uuids):
        over = uuids or ('u1',)
        steps = self.engine.restore(lambda entry: entry.owner in over)
        return [step.result for step in steps]


class VfTest(EngineTest):
    def test_set_once_and_restored(self):
        wanted = (attribute('trust', '1'), attribute('spoof_check', '0'))
        self.assertEqual([Result.SET, Result.SET], self.set(*wanted))
        self.assertEqual('1', self.writer.vfs[VF]['trust'])
        self.assertEqual('0', self.writer.vfs[VF]['spoof_check'])
        self.assertEqual([Result.KEPT, Result.KEPT], self.set(*wanted))
        self.assertEqual([], self.end('u2'))
        self.assertEqual([Result.RESTORED] * 2, self.end())
        self.assertEqual('0', self.writer.vfs[VF]['trust'])
        self.assertEqual('1', self.writer.vfs[VF]['spoof_check'])
        self.assertEqual([], self.journal)

    def test_what_is_so_already_is_nobodys(self):
        self.assertEqual([Result.KEPT], self.set(attribute('trust', '0')))
        self.assertEqual([], self.journal)
        self.assertEqual([], self.writer.writes)

    def test_an_entry_that_cannot_be_read_stops_no_other(self):
        self.set(attribute('trust', '1'))
        good = self.journal[0]
        wrong = [
            7, {}, {**good, 'index': -1}, {**good, 'index': '3'},
            {**good, 'index': True}, {**good, 'pf': '../../x'},
            {**good, 'name': 'a/b'}, {**good, 'before': 7},
            {**good, 'before': 'x' * 999}, {**good, 'more': ''},
        ]  # fmt: skip
        path = f'{self.root}/{vf_journal.PATH}'
        with open(path, 'w') as file:
            document = {'version': 1, 'entries': [*wrong, good]}
            json.dump(document, file)
        found = self.end()
        self.assertEqual([Result.FAILED] * len(wrong), found[:-1])
        self.assertEqual(Result.RESTORED, found[-1])
        self.assertEqual('0', self.writer.vfs[VF]['trust'])
        # It is kept for a version that may know it.
        self.assertEqual(wrong, self.journal)

    def test_it_is_on_record_before_the_write(self):
        seen = []
        write = self.writer.set_vf

        def look(*args):
            seen.extend(entry['before'] for entry in self.journal)
            write(*args)

        self.writer.set_vf = look
        self.set(attribute('trust', '1'))
        self.assertEqual(['0'], seen)

    def test_a_refused_one_says_why_and_is_not_left(self):
        self.writer.refused.add('max_rate')
        (step,) = self.engine.before_start(
            self.owner, [attribute('max_rate', '500')]
        )
        self.assertIs(Result.FAILED, step.result)
        self.assertIn('not supported', step.detail)
        self.end()
        self.assertEqual([], self.journal)

    def test_one_that_is_not_kept_is_found(self):
        self.writer.ignored.add('trust')
        (step,) = self.engine.before_start(
            self.owner, [attribute('trust', '1')]
        )
        self.assertEqual('wrote 1 and read back 0', step.detail)

    def test_a_vf_of_somebody_else_is_left_alone(self):
        """A receipt that came with a guest from another host."""
        (step,) = self.engine.before_start(
            self.owner, [attribute('trust', '1', (PF, 4))]
        )
        self.assertIs(Result.FAILED, step.result)
        self.assertIn('does not have VF 4', step.detail)
        self.assertEqual([], self.writer.writes)

    def test_no_such_vf_or_attribute(self):
        owner = Owner('u1', 'web', {VF, (PF, 6)})
        self.assertEqual(
            [Result.FAILED],
            self.set(attribute('trust', '1', (PF, 6)), owner=owner),
        )
        del self.writer.vfs[VF]['trust']
        self.assertEqual([Result.FAILED], self.set(attribute('trust', '1')))

    def test_somebody_elses_value_stays(self):
        self.set(attribute('trust', '1'), attribute('max_rate', '500'))
        self.writer.vfs[VF]['max_rate'] = '700'
        self.assertEqual([Result.RESTORED, Result.FOREIGN], self.end())
        self.assertEqual('700', self.writer.vfs[VF]['max_rate'])
        self.assertEqual([], self.journal)

    def test_one_that_cannot_be_restored_stays_on_record(self):
        self.set(attribute('trust', '1'))
        self.writer.refused.add('trust')
        self.assertEqual([Result.FAILED], self.end())
        self.writer.refused.clear()
        self.assertEqual([Result.RESTORED], self.end())

    def test_a_vf_that_is_gone_is_forgotten(self):
        self.set(attribute('trust', '1'))
        self.writer.vfs.clear()
        self.assertEqual([Result.FOREIGN], self.end())
        self.assertEqual([], self.journal)

    def test_the_next_guest_restores_what_the_first_found(self):
        self.set(attribute('max_rate', '500'))
        second = Owner('u2', 'db', {VF})
        self.set(attribute('max_rate', '900'), owner=second)
        self.assertEqual([], self.end('u1'))
        self.assertEqual([Result.RESTORED], self.end('u2'))
        self.assertEqual('0', self.writer.vfs[VF]['max_rate'])

    def test_the_next_guest_keeps_what_it_wants_the_same(self):
        self.set(attribute('trust', '1'))
        second = Owner('u2', 'db', {VF})
        self.assertEqual(
            [Result.KEPT], self.set(attribute('trust', '1'), owner=second)
        )
        self.assertEqual([], self.end('u1'))
        self.assertEqual('1', self.writer.vfs[VF]['trust'])
        self.end('u2')
        self.assertEqual('0', self.writer.vfs[VF]['trust'])

    def test_a_reboot_forgets(self):
        self.set(attribute('trust', '1'))
        self.boot('second')
        self.assertEqual([], self.end())
        self.assertEqual('1', self.writer.vfs[VF]['trust'])

    def test_a_journal_that_is_none(self):
        path = f'{self.root}/{vf_journal.PATH}'
        os.makedirs(os.path.dirname(path))
        for text in (
            '[]',
            '{"version": 2}',
            'x',
            '{"version": 1, "entries": 1}',
        ):
            with open(path, 'w') as file:
                file.write(text)
            self.assertRaises(JournalFailed, self.end)


class ThreadsTest(EngineTest):
    def place(self, cpus='2-3', emulator='0-3', threads=('0-3', '2-3')):
        add_process(self.root, 90, 'u1', emulator, threads)
        (step,) = self.engine.after_start(
            self.owner, [vhost(cpus), attribute('trust', '1')], 90, self.root
        )
        return step

    def test_only_what_is_elsewhere_is_moved(self):
        step = self.place()
        self.assertEqual(
            (Result.SET, 'before: 0-3'), (step.result, step.detail)
        )
        self.assertEqual([(91, [2, 3])], self.writer.writes)
        found = affinities(self.root, 90)
        self.assertEqual({90: '0-3', 91: '2,3', 92: '2-3'}, found)
        (step,) = self.engine.after_start(
            self.owner, [vhost('2-3')], 90, self.root
        )
        self.assertIs(Result.KEPT, step.result)

    def test_none_there(self):
        step = self.place(threads=())
        self.assertIn('no vhost threads', step.detail)
        self.assertIs(Result.FAILED, step.result)

    def test_never_outside_of_the_emulator(self):
        """The pCPUs of a receipt from another host are others' here."""
        step = self.place('5', '0-3')
        self.assertIn('0-3 only', step.detail)
        self.assertEqual([], self.writer.writes)

    def test_a_refusal_is_told(self):
        self.writer.refused.add('affinity')
        self.assertIn('thread 91', self.place().detail)

    def test_a_process_that_has_ended(self):
        (step,) = self.engine.after_start(
            self.owner, [vhost('1')], 4711, self.root
        )
        self.assertIs(Result.FAILED, step.result)
