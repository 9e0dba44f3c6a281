"""Paths of elements: what is one, and what its steps are."""

import testtools

from kvm_tuning.core.xml import paths


class StepsTest(testtools.TestCase):
    def test_a_value_may_have_brackets(self):
        for value in ('[', ']', '[a]', '][', '/', '@x='):
            (first, last) = paths.steps(f"a[@b='{value}']/c[d/@e='{value}']")
            self.assertEqual((paths.Key(None, 'b', value),), first.keys)
            self.assertEqual((paths.Key('d', 'e', value),), last.keys)

    def test_what_is_not_a_path(self):
        for path in (
            '', 'a/', '/a', 'a[b]', "a[@b='c'", "a[@b='c']]", "a[b='c']",
            "a[[@b='c']", "a[@b='c'][x]",
        ):  # fmt: skip
            self.assertRaises(ValueError, paths.steps, path)
