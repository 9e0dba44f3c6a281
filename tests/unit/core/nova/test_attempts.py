"""All that is wrong, said at once."""

import testtools
from testtools.matchers import Equals, Is

from kvm_tuning.core.exceptions import (
    InvalidValue,
    SeveralErrors,
    UnknownKnob,
)
from kvm_tuning.core.nova.attempts import Attempts

ONE = InvalidValue('one')
TWO = InvalidValue('two')
THREE = UnknownKnob('three')


def fail(error):
    raise error


class TestAttempts(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.attempts = Attempts()

    def test_results_pass_through(self):
        self.assertThat(self.attempts.of(int, '12', base=8), Equals(10))
        self.attempts.raise_all()

    def test_one_error_is_raised_as_it_is(self):
        self.assertThat(self.attempts.of(fail, ONE), Is(None))
        found = self.assertRaises(InvalidValue, self.attempts.raise_all)
        self.assertThat(found, Is(ONE))

    def test_the_same_message_is_said_once(self):
        self.attempts.of(fail, ONE)
        self.attempts.of(fail, InvalidValue('one'))
        self.assertRaises(InvalidValue, self.attempts.raise_all)

    def test_several_are_raised_together(self):
        self.attempts.of(fail, ONE)
        self.attempts.of(fail, SeveralErrors([TWO, THREE]))
        found = self.assertRaises(SeveralErrors, self.attempts.raise_all)
        self.assertThat(found.errors, Equals((ONE, TWO, THREE)))

    def test_other_exceptions_are_no_requests(self):
        self.assertRaises(ZeroDivisionError, self.attempts.of, divmod, 1, 0)
