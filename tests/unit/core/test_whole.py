import testtools

from kvm_tuning.core import whole


class TestNumber(testtools.TestCase):
    def test_digits(self):
        self.assertEqual(
            [0, 7, 10**17],
            [whole.number(t) for t in ('0', '007', f'1{"0" * 17}')],
        )

    def test_what_int_would_refuse_or_others_take(self):
        for text in (None, '', ' 1', '1\n', '-1', '0x1', '²', '٣', '9' * 5000):
            self.assertIsNone(whole.number(text), text)
