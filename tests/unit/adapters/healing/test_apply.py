from kvm_tuning import loader
from kvm_tuning.adapters import repin, standalone, starting
from kvm_tuning.adapters.healing import apply
from kvm_tuning.adapters.healing.planned import Limits
from kvm_tuning.core import domain
from kvm_tuning.core.exceptions import (
    JournalFailed,
    LibvirtFailed,
    SettingRejected,
    Unsupported,
)
from kvm_tuning.core.healing.occupants import Choice
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import exchange_journal
from tests.fixtures import scattered_guests
from tests.fixtures.live_store import Killed, Steps
from tests.unit.adapters.healing import base


class ApplyTest(base.HealingTest):
    def test_a_full_host(self):
        _planned, done = self.apply()
        self.assert_healed()
        self.assertEqual((), done.left)
        self.assertEqual(1, self.store.most_doubled)
        # The guest that nobody had tuned can be untuned again.
        found = self.store.record('c').definition
        self.assertIn("cpuset='4'", domain.undo(found))

    def test_again_changes_nothing(self):
        self.apply()
        before = self.snapshot()
        planned, done = self.apply()
        self.assertEqual((0, None), (planned.plan.moved, done.exchange))
        self.assertEqual(before, self.snapshot())

    def test_undo(self):
        self.apply()
        done = self.undo()
        self.assertEqual((), done.left)
        self.assert_as_before()
        self.assertEqual(1, self.store.most_doubled)
        self.assertRaises(JournalFailed, self.undo)

    def test_what_is_kept_stays(self):
        self.apply(keep=frozenset({'b'}))
        self.assertEqual([3, 8], list(self.pins('b').values()))

    def test_one_that_is_migrated_stays(self):
        self.store.jobs = {self.store.record('b').uuid}
        planned, _done = self.apply()
        self.assertIn('migrated', planned.plan.occupants[1].why)

    def test_nothing_is_unfinished(self):
        self.assertRaises(JournalFailed, self.resume)
        self.assertRaises(JournalFailed, self.undo)

    def test_a_kernel_that_does_not_obey(self):
        real = self.store.vcpu_pins
        self.store.vcpu_pins = lambda name: {0: frozenset({1})}
        self.assertRaises(SettingRejected, self.apply)
        self.store.vcpu_pins = real
        self.undo()
        self.assert_as_before()


class KilledTest(base.HealingTest):
    def each_step(self, start=lambda: None):
        """Yield after each step at which an exchange was killed."""
        for step in range(1, 200):
            self.restore()
            start()
            try:
                self.act(Steps(step))
            except Killed:
                yield step
            else:
                self.assertGreater(step, 20)
                return
        self.fail('no end')

    def act(self, steps):
        self.apply(steps)

    def is_open(self):
        return exchange_journal.load(System(self.root)) is not None

    def test_resume_after_each_step(self):
        for _step in self.each_step():
            if self.is_open():
                self.resume()
                self.assert_healed()
                self.assertEqual(
                    1, len(exchange_journal.history(System(self.root)))
                )
            self.assertFalse(self.is_open())
            self.assertLessEqual(self.store.most_doubled, 1)

    def test_undo_after_each_step(self):
        for _step in self.each_step():
            if self.is_open():
                self.undo()
                self.assertEqual(
                    [], exchange_journal.history(System(self.root))
                )
                self.assert_as_before()
            self.assertFalse(self.is_open())
            self.assertLessEqual(self.store.most_doubled, 1)


class KilledWithRoomTest(KilledTest):
    dedicated = base.WITH_ROOM

    def test_resume_after_each_step(self):
        super().test_resume_after_each_step()
        self.assertEqual(0, self.store.most_doubled)

    def test_undo_after_each_step(self):
        # Of the last steps alone: the others are those of a full host.
        self.assertRaises(Killed, self.apply, Steps(22))
        self.undo()
        self.assert_as_before()
        self.assertEqual(0, self.store.most_doubled)


class KilledUndoTest(KilledTest):
    """An undo of an exchange that is over can be killed, too."""

    def act(self, steps):
        self.apply()
        self.undo(steps)

    def assert_healed(self):
        # Finished, that undo.
        super().assert_as_before()

    def assert_as_before(self):
        # Taken back, that undo.
        super().assert_healed()

    def test_resume_after_each_step(self):
        for _step in self.each_step():
            if self.is_open():
                self.resume()
            elif self.store.record('a').defined == self.state[0]['a.xml']:
                continue
            else:
                self.undo()
            self.assert_healed()
            self.assertRaises(JournalFailed, self.undo)

    def test_undo_after_each_step(self):
        for _step in self.each_step():
            if self.is_open():
                self.undo()
                self.assert_as_before()
                # It is as if nobody had tried.
                self.undo()
                self.assert_healed()


class FaultTest(base.HealingTest):
    def fail_once(self, step):
        """Exchange, while libvirt's call of that number fails."""
        host = self.host()
        self.store.steps = Steps(step, LibvirtFailed)
        apply.apply(host, Choice(untuned=True), Limits())

    def test_everything_goes_back_whichever_call_fails(self):
        for step in range(1, 200):
            self.restore()
            try:
                self.fail_once(step)
            except LibvirtFailed:
                self.assert_as_before()
                self.assertIsNone(exchange_journal.load(System(self.root)))
            else:
                self.assertGreater(step, 15)
                return
            self.assertLessEqual(self.store.most_doubled, 1)
        self.fail('no end')


class OpenTest(base.HealingTest):
    """While an exchange is unfinished."""

    def setUp(self):
        super().setUp()
        self.assertRaises(Killed, self.apply, Steps(12))

    def test_other_commands_say_so(self):
        self.store.steps = Steps()
        hooks = loader.load()
        for call in (
            lambda: self.apply(),
            lambda: standalone.tune(
                self.store, self.conf, hooks, None, 'a', self.root
            ),
            lambda: standalone.undo(self.store, self.conf, 'a', self.root),
            lambda: repin.repin(
                self.store, self.conf, hooks, 'a', None, self.root
            ),
        ):
            error = self.assertRaises(JournalFailed, call)
            self.assertIn('host rebalance --resume', str(error))
        self.store.stop('b')
        error = self.assertRaises(
            JournalFailed,
            starting.start,
            self.store,
            self.conf,
            'b',
            self.root,
        )
        self.assertIn('--undo', str(error))

    def test_a_vcpu_that_somebody_has_moved(self):
        self.store.affinity['b'][0][0] = frozenset({0})
        for call in (self.resume, self.undo):
            error = self.assertRaises(Unsupported, call)
            self.assertIn('somebody else', str(error))
        self.assertIsNotNone(exchange_journal.load(System(self.root)))

    def test_a_guest_that_has_stopped(self):
        self.store.stop('b')
        self.resume()
        self.assertTrue(
            set(self.store.affinity['a'][0].values())
            <= {frozenset({c}) for c in (1, 2, 3, 4)}
            or set(self.store.affinity['a'][0].values())
            <= {frozenset({c}) for c in (6, 7, 8, 9)}
        )
        held = [
            cpu
            for name in base.SCATTERED
            for cpus in self.store.record(
                name
            ).definition.current.pins.values()
            for cpu in cpus
        ]
        self.assertEqual(len(held), len(set(held)))

    def test_a_guest_that_is_gone(self):
        self.store.stop('b')
        (self.store.folder / 'b.xml').unlink()
        done = self.undo()
        self.assertEqual(("guest 'b' is gone",), done.left)
        for name in 'ac':
            self.assertEqual(
                base.SCATTERED[name], list(self.pins(name).values())
            )

    def test_a_journal_that_cannot_be_read(self):
        path = f'{self.root}/{exchange_journal.PATH}'
        with open(path, 'w') as file:
            file.write('{"version": 1}')
        for call in (self.apply, self.resume, self.undo):
            self.assertRaises(JournalFailed, call)


class LaterUndoTest(base.HealingTest):
    """Guests have come and gone since."""

    def setUp(self):
        super().setUp()
        self.apply()

    def test_one_that_has_restarted(self):
        self.store.stop('a')
        self.store.run('a')
        self.undo()
        self.assert_as_before()

    def test_one_that_has_stopped(self):
        self.store.stop('a')
        self.undo()
        self.assertEqual(base.SCATTERED['b'], list(self.pins('b').values()))
        found = self.store.record('a').definition.current.pins
        self.assertEqual(
            base.SCATTERED['a'], [min(cpus) for cpus in found.values()]
        )

    def test_one_that_was_moved_is_named(self):
        self.store.affinity['c'][0][0] = frozenset({0})
        done = self.undo()
        self.assertIn("guest 'c' stays", ' '.join(done.left))
        self.assertLessEqual(self.store.most_doubled, 1)
        held = [
            min(cpus)
            for vcpus, _io in self.store.affinity.values()
            for cpus in vcpus.values()
        ]
        self.assertEqual(len(held), len(set(held)))

    def test_one_is_gone_and_another_has_its_place(self):
        taken = min(self.pins('b').values())
        self.store.stop('b')
        (self.store.folder / 'b.xml').unlink()
        text = scattered_guests.xml('new', taken)
        (self.store.folder / 'new.xml').write_text(text)
        self.store.run('new')
        done = self.undo()
        held = [
            min(cpus)
            for name, (vcpus, _io) in self.store.affinity.items()
            if name != 'b'
            for cpus in vcpus.values()
        ]
        self.assertEqual(len(held), len(set(held)))
        self.assertIn("guest 'b' is gone", done.left)
