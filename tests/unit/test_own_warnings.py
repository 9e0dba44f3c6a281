"""A test fails when our code causes a warning, whoever is named in it."""

from types import ModuleType
import warnings

import testtools

_LIBRARY = """
import warnings

def inner():
    warnings.warn('gone soon', DeprecationWarning)
    return 1

def outer():
    return inner()

def named():
    warnings.warn('gone soon', DeprecationWarning, stacklevel=2)
    return 1
"""


def library():
    module = ModuleType('cliff')
    exec(compile(_LIBRARY, '/usr/lib/cliff.py', 'exec'), module.__dict__)
    return module


class OwnWarningsTest(testtools.TestCase):
    def test_a_call_of_ours_whoever_is_named(self):
        for call in (lambda: library().inner(), lambda: library().named()):
            error = self.assertRaises(DeprecationWarning, call)
            self.assertIn('gone soon', str(error))

    def test_a_warning_of_ours(self):
        self.assertRaises(
            DeprecationWarning,
            lambda: warnings.warn('x', DeprecationWarning, stacklevel=1),
        )

    def test_a_call_inside_of_a_library(self):
        self.assertEqual(1, library().outer())
