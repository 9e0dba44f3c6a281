"""A plan is made of what hooks say, and of nothing else."""

import testtools

from kvm_tuning.core import plan
from kvm_tuning.core.effects import (
    Absent,
    Consequence,
    Element,
    Phase,
    Scope,
    Setting,
)
from kvm_tuning.core.exceptions import (
    ConflictingKnobs,
    Exhausted,
    HookConflict,
    HookFailed,
    SeveralErrors,
)
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.knobs import Flag, Knob, Source
from kvm_tuning.core.placement import Unkept
from kvm_tuning.core.request import Asked, Request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.base import Hook
from tests.fixtures.fake_host import FakeHost

GUEST = Guest('one', 'uuid', 'kvm', 'x86_64', 'q35', 2, 1024)
SITE = Site(FakeHost(cells=1).inventory())


def says(hook_name, *items, check=()):
    """Return a hook that yields ``items`` when its knob is asked."""

    class Saying(Hook):
        """Says what it is told to."""

        name = hook_name
        knobs = (Knob(f'kvm:{hook_name}', Flag(), 'help'),)

        def check(self, request):
            return _raise_or_yield(check)

        def effects(self, request, guest, placement, site):
            return _raise_or_yield(items)

    return Saying()


def _raise_or_yield(items):
    for item in items:
        if isinstance(item, Exception) and not isinstance(
            item, ConflictingKnobs
        ):
            raise item
        yield item


def make(*hooks, asked=None):
    keys = [f'kvm:{h.name}' for h in hooks] if asked is None else asked
    values = {
        key: Asked(key, True, 'true', Source.FLAVOR, 'flavor') for key in keys
    }
    return plan.make(hooks, Request('f', 2, 1, values), GUEST, SITE)


def setting(value):
    return Setting(
        'thread-affinity', 'vhost', value, Scope.INSTANCE, Phase.AFTER_START
    )


A = Element('a', {'x': '1'})


class PlanTest(testtools.TestCase):
    def test_a_hook_that_is_not_asked_is_not_called(self):
        made = make(
            says('one', A), says('two', RuntimeError()), asked=['kvm:one']
        )
        self.assertEqual((A,), made.effects)

    def test_everything_finds_its_place(self):
        consequence = Consequence('code', 'tenant', 'text')
        unkept = Unkept('kvm:one', 'a', 'b', 'why')
        made = make(says('one', A, consequence, unkept, check=[consequence]))
        self.assertEqual((A,), made.effects)
        self.assertEqual((consequence,), made.consequences)
        self.assertEqual((unkept,), made.unkept)
        self.assertEqual('uuid', made.claim.owner)

    def test_effects_on_one_element_are_joined(self):
        made = make(
            says('one', A),
            says('two', Element('a', {'y': '2', 'x': '1'}, 'text')),
        )
        self.assertEqual(
            (Element('a', {'x': '1', 'y': '2'}, 'text'),), made.effects
        )

    def test_two_values_at_one_address_are_a_conflict(self):
        for first, second in (
            (A, Element('a', {'x': '2'})),
            (A, Element('a', {'x': None})),
            (Element('a', {}, 'x'), Element('a', {}, 'y')),
            (A, Absent('a')),
            (setting('1'), setting('2')),
            (Element('b/a', {'x': '1'}), Absent('b')),
            (Absent("b[@k='1']"), Element("b[@k='1']/c", {'x': '1'})),
        ):
            error = self.assertRaises(
                HookConflict, make, says('one', first), says('two', second)
            )
            self.assertTrue(str(error))

    def test_a_conflict_names_both_hooks_and_values(self):
        error = self.assertRaises(
            HookConflict,
            make,
            says('one', A),
            says('two', Element('a', {'y': '1'})),
            says('three', Element('a', {'x': '2'})),
        )
        self.assertEqual(
            "hooks 'one' and 'three' want '1' and '2' at a/x", str(error)
        )

    def test_what_is_prepared_serves_many_guests(self):
        hooks = says('one', A), says('two', A)
        asked = Asked('kvm:one', True, 'true', Source.FLAVOR, 'flavor')
        request = Request('f', 2, 1, {'kvm:one': asked})
        prepared = plan.prepare(hooks, request)
        self.assertEqual(hooks[:1], prepared.hooks)
        for _number in range(2):
            self.assertEqual(
                plan.make(hooks, request, GUEST, SITE),
                plan.of(prepared, GUEST, SITE),
            )

    def test_neighbours_are_no_conflict(self):
        made = make(
            says('one', A, Absent("b[@k='1']"), Absent('aa')),
            says('two', Element("b[@k='2']", {'x': '1'}), Absent('a/b')),
        )
        self.assertEqual(5, len(made.effects))

    def test_a_hooks_bug_is_named(self):
        error = self.assertRaises(
            HookFailed, make, says('one', KeyError('oops'))
        )
        self.assertIn("'one'", str(error))
        self.assertIn('oops', str(error))

    def test_a_hook_that_yields_nothing_is_named_too(self):
        """It raises when it is called, not when it is read."""
        hook = says('one')

        def effects(*args):
            raise KeyError('oops')

        hook.effects = effects
        self.assertRaises(HookFailed, make, hook)

    def test_a_hooks_refusal_is_its_own(self):
        self.assertRaises(Exhausted, make, says('one', Exhausted('no room')))

    def test_all_that_is_wrong_with_a_request_comes_at_once(self):
        error = self.assertRaises(
            SeveralErrors,
            make,
            says('one', check=[ConflictingKnobs('a'), ConflictingKnobs('b')]),
            says('two', check=[ConflictingKnobs('c')]),
        )
        self.assertEqual(3, len(error.errors))
