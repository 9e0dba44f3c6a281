"""How messages name what was asked."""

import testtools
from testtools.matchers import Equals

from kvm_tuning.core import wording


class TestWording(testtools.TestCase):
    def test_short(self):
        for text, wanted in (
            ('dedicated', 'dedicated'),
            ('2 MB', '2 MB'),
            ('', "''"),
            (' 2', "' 2'"),
            ('a\nb', "'a\\nb'"),
            ('\x1b[31m', "'\\x1b[31m'"),
            ('x' * 64, 'x' * 64),
            ('x' * 65, 'x' * 61 + '...'),
        ):
            self.assertThat(wording.short(text), Equals(wanted))

    def test_invalid(self):
        found = wording.invalid('hw:a', 'b', "flavor 'c'", '1 to 4')
        self.assertThat(str(found), Equals("hw:a=b (flavor 'c'): want 1 to 4"))
