"""tools/mutants, on a package of one function."""

from pathlib import Path

import fixtures
import testtools

from tools.mutation import __main__ as command
from tools.mutation import copies, measured
from tools.mutation.sites import sites

SOURCE = '''\
"""A package."""

LIMIT = 4


def below(number: int, strict: bool = True) -> bool:
    """Return whether a number is below the limit."""
    if strict:
        return number < LIMIT
    return number <= LIMIT


class Word:
    FIRST = 'first'


def unused():
    return f'{below("x")}' + 'text'
'''

TESTS = """\
import unittest

from kvm_tuning import small


class SmallTest(unittest.TestCase):
    def test_below(self):
        self.assertTrue(small.below(3))
        self.assertFalse(small.below(5))

    def test_words(self):
        self.assertEqual('first', vars(small.Word)['FIRST'])

    def test_wrong(self):
        self.fail(str(small.below(3)))
"""


def changed(source, line):
    """Return each changed form of a line, by the kind of change."""
    return {
        site.kind: site.apply(source).splitlines()[line - 1].strip()
        for site in sites(source)
        if site.line == line
    }


class SitesTest(testtools.TestCase):
    def test_what_is_changed(self):
        self.assertEqual({'int': 'LIMIT = 5'}, changed(SOURCE, 3))
        self.assertEqual(
            {'bool': 'def below(number: int, strict: bool = False) -> bool:'},
            changed(SOURCE, 6),
        )
        self.assertEqual(
            {'negate': 'if (not (strict)):', 'branch': 'if False:'},
            changed(SOURCE, 8),
        )
        self.assertEqual(
            {'return': 'return None', 'compare': 'return (number <= LIMIT)'},
            changed(SOURCE, 9),
        )

    def test_more_kinds(self):
        for before, kind, after in (
            ('x = a and b', 'and/or', 'x = (a or b)'),
            ('x = a + b', 'arithmetic', 'x = (a - b)'),
            ('x = {"key": y}', 'string', "x = {'keyX': y}"),
            ('x = a if b else c', 'negate', 'x = (a if not b else c)'),
            ('é(a not in b)', 'compare', 'é((a in b))'),
        ):
            self.assertEqual({kind: after}, changed(before, 1))
        self.assertEqual({'drop': 'pass'}, changed('def f():\n    raise E', 2))

    def test_what_stays(self):
        for source in (
            '"""A docstring."""',
            'x: "str"',
            "x = 'words for people alone'",
            "x = f'{y:>2}'",
            'if TYPE_CHECKING:\n    x = 1',
        ):
            self.assertEqual([], sites(source), source)

    def test_each_change_of_this_file_compiles(self):
        source = Path(__file__).read_text()
        for site in sites(source):
            compile(site.apply(source), __file__, 'exec')


class TriedTest(testtools.TestCase):
    """Mutants of a small tree."""

    def setUp(self):
        super().setUp()
        self.top = Path(self.useFixture(fixtures.TempDir()).path)
        self.tree = self.top / 'tree'
        for name, text in (
            ('kvm_tuning/__init__.py', ''),
            ('kvm_tuning/small.py', SOURCE),
            ('tests/__init__.py', ''),
            ('tests/unit/__init__.py', ''),
            ('tests/unit/test_small.py', TESTS),
        ):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text(text)
        (self.top / 'kept').mkdir()
        (self.top / 'copies').mkdir()

    def test_killed_survived_and_not_run(self):
        trees = copies.Copies(self.tree, self.top / 'copies', 1)
        self.addCleanup(trees.all[0].close)
        lines = measured.measure(trees, self.top / 'kept')
        self.assertEqual(
            {'tests.unit.test_small.SmallTest.test_wrong'}, lines.failed
        )
        path = 'kvm_tuning/small.py'
        found = {}
        for site in sites(SOURCE):
            if (site.line, site.kind) in {
                (3, 'int'), (6, 'bool'), (8, 'branch'), (9, 'return'),
                (10, 'compare'), (14, 'string'), (18, 'return'),
            }:  # fmt: skip
                found[site.line] = trees.attempt(
                    path,
                    site.apply(SOURCE),
                    lines.quickest(lines.of(path, site), 5.0),
                )
        below = 'tests.unit.test_small.SmallTest.test_below'
        words = 'tests.unit.test_small.SmallTest.test_words'
        self.assertEqual(
            {
                3: copies.Verdict(copies.SURVIVED),
                6: copies.Verdict(copies.SURVIVED),
                8: copies.Verdict(copies.SURVIVED),
                9: copies.Verdict(copies.KILLED, below),
                10: copies.Verdict(copies.SURVIVED),
                14: copies.Verdict(copies.KILLED, words),
                18: copies.Verdict(copies.SURVIVED),
            },
            found,
        )
        # The tree and its copy are as before, and nothing is measured again
        self.assertEqual(SOURCE, (self.tree / path).read_text())
        self.assertEqual(SOURCE, (trees.tree / path).read_text())
        self.assertEqual(1, len(list((self.top / 'kept').iterdir())))
        self.assertEqual(lines, measured.measure(trees, self.top / 'kept'))

    def test_a_file_that_no_test_runs(self):
        site = sites(SOURCE)[0]
        lines = measured.Lines()
        self.assertEqual([], lines.of('kvm_tuning/small.py', site))
        trees = copies.Copies(self.tree, self.top / 'copies', 1)
        self.addCleanup(trees.all[0].close)
        self.assertEqual(
            copies.Verdict(copies.UNRUN),
            trees.attempt('kvm_tuning/small.py', SOURCE, {}),
        )

    def test_one_that_does_not_end_and_one_that_ends_its_process(self):
        trees = copies.Copies(self.tree, self.top / 'copies', 1)
        self.addCleanup(trees.all[0].close)
        below = 'tests.unit.test_small.SmallTest.test_below'
        self.assertEqual(
            [
                copies.Verdict(copies.ENDLESS),
                copies.Verdict(copies.KILLED, 'the process of the tests'),
                copies.Verdict(copies.KILLED, below),
            ],
            [
                trees.attempt(
                    'kvm_tuning/small.py',
                    f'import os\n\n\ndef below(number):\n    {line}\n',
                    # So that it may take no time
                    {below: -0.98},
                )
                for line in ('while True: pass', 'os._exit(1)', 'return 1')
            ],
        )

    def test_the_quickest_of_so_many_seconds(self):
        whole = 'tests.unit.test_present.A.test'
        tests = ['a', 'b', 'c', whole]
        lines = measured.Lines(
            seconds=dict(zip(tests, (1.0, 2.0, 3.0, 4.0), strict=True))
        )
        for seconds, found in (
            (0.5, ['a', whole]),
            (3.0, ['a', 'b', whole]),
            (5.9, ['a', 'b', whole]),
            (6.0, ['a', 'b', 'c', whole]),
            (99.0, tests),
        ):
            self.assertEqual(found, list(lines.quickest(tests, seconds)))

    def test_a_seed_draws_the_same_again(self):
        drawn = [
            [mutant for mutant, _source in command.draw(
                self.tree, ['kvm_tuning'], seed, 5)]
            for seed in (1, 1, 2)
        ]  # fmt: skip
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])
        self.assertEqual(5, len({mutant.site.line for mutant in drawn[0]}))

    def test_a_difference_names_what_changed(self):
        ((mutant, source),) = [
            each
            for each in command.draw(self.tree, ['kvm_tuning/small.py'], 1, 99)
            if each[0].site.line == 3
        ]
        self.assertEqual(
            '@@ -3 +3 @@\n-LIMIT = 4\n+LIMIT = 5', mutant.difference(source)
        )
