"""A test fails when our code causes a warning, whoever is named in it."""

from types import ModuleType
import warnings

import testtools

_LIBRARY = """
import warnings

def old():
    return older()

def older():
    warnings.warn('gone soon', DeprecationWarning)
    return 1

def of_its_own(call):
    return call()
"""


def library(name):
    module = ModuleType(name)
    exec(compile(_LIBRARY, f'{name}.py', 'exec'), module.__dict__)
    return module


class OwnWarningsTest(testtools.TestCase):
    def test_a_call_of_ours(self):
        error = self.assertRaises(
            DeprecationWarning, lambda: library('cliff').old()
        )
        self.assertIn('gone soon', str(error))

    def test_a_warning_of_ours(self):
        self.assertRaises(
            DeprecationWarning, warnings.warn, 'x', DeprecationWarning
        )

    def test_a_library_that_calls_another_one(self):
        outer, inner = library('cliff'), library('stevedore')
        self.assertEqual(1, outer.of_its_own(inner.old))
