"""The program of bench memory, as a package brings it."""

import os

import fixtures
import testtools

from kvm_tuning.core.exceptions import BenchFailed
from kvm_tuning.host.bench import program


class PackagedTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.home = self.useFixture(fixtures.TempDir()).path
        self.cache = os.path.join(self.home, 'cache')
        for name, value in (('PACKAGED', self.home), ('COMPILERS', ())):
            self.useFixture(
                fixtures.MonkeyPatch(f'{program.__name__}.{name}', value)
            )

    def test_it_needs_no_compiler(self):
        self.assertRaises(BenchFailed, program.built, 'memory', self.cache)
        path = os.path.join(self.home, program.file_name('memory'))
        with open(path, 'w'):
            pass
        self.assertEqual(path, program.built('memory', self.cache))

    def test_that_of_another_source_is_not_taken(self):
        name = program.file_name('memory')
        other = f'{name[:-1]}{"0" if name[-1] != "0" else "1"}'
        with open(os.path.join(self.home, other), 'w'):
            pass
        self.assertRaises(BenchFailed, program.built, 'memory', self.cache)
