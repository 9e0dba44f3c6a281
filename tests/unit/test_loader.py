"""Loading of hooks: strict, whatever strangers install."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core.exceptions import HookLoadError
from kvm_tuning.core.knobs import Flag, Knob
from kvm_tuning.hooks.base import Hook


class One(Hook):
    """A hook."""

    name = 'one'
    knobs = (Knob('kvm:one', Flag(), 'help'),)


class Thief(Hook):
    """A hook that claims another one's knob."""

    name = 'thief'
    knobs = (Knob('kvm:one', Flag(), 'help'),)


class Fragile(Hook):
    """A hook that cannot be made."""

    name = 'fragile'
    knobs = ()

    def __init__(self):
        raise RuntimeError('oh')


class LoaderTest(testtools.TestCase):
    def test_the_installed_hooks_are_loaded_by_name(self):
        names = [hook.name for hook in loader.load()]
        self.assertEqual(sorted(names), names)
        self.assertIn('cpu_pinning', names)

    def test_knobs_by_name(self):
        self.assertEqual(
            ['kvm:one'], list(loader.knobs(loader.verify([('one', One)])))
        )

    def test_rules(self):
        for found, word in (
            ([('one', One), ('thief', Thief)], 'kvm:one is owned by two'),
            ([('one', One), ('one', One)], "two hooks are called 'one'"),
            ([('other', One)], "calls itself 'one'"),
            ([('one', One())], 'not a subclass'),
            ([('one', object)], 'not a subclass'),
            ([('fragile', Fragile)], 'RuntimeError: oh'),
        ):
            error = self.assertRaises(HookLoadError, loader.verify, found)
            self.assertIn(word, str(error))
