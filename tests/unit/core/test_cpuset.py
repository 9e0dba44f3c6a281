"""CPU sets and their text."""

from hypothesis import given
from hypothesis import strategies as st
import testtools

from kvm_tuning.core import cpuset

CPUS = st.frozensets(st.integers(0, 300))


class CpusetTest(testtools.TestCase):
    @given(CPUS)
    def test_format_and_parse_are_inverse(self, cpus):
        self.assertEqual(cpus, cpuset.parse(cpuset.format(cpus)))

    @given(CPUS)
    def test_bits_are_inverse(self, cpus):
        self.assertEqual(cpus, cpuset.from_bits(cpuset.to_bits(cpus)))

    def test_texts(self):
        for text, cpus in (
            ('', set()),
            ('\n', set()),
            ('3', {3}),
            ('0-2,5', {0, 1, 2, 5}),
            (' 1 , 2-3 ', {1, 2, 3}),
            ('^1,0-2', {0, 2}),
            ('0-2,2-4', {0, 1, 2, 3, 4}),
        ):
            self.assertEqual(cpus, cpuset.parse(text))
        self.assertEqual('0-2,5,7-8', cpuset.format([8, 7, 5, 2, 1, 0]))

    def test_masks(self):
        self.assertEqual({0, 32, 33}, cpuset.parse_mask('3,00000001\n'))
        self.assertEqual(set(), cpuset.parse_mask('0'))
        self.assertEqual(
            {65535}, cpuset.parse_mask('80000000' + ',00000000' * 2047)
        )

    def test_bad_texts(self):
        for text in (
            'x',
            '1-',
            '-1',
            '3-1',
            '1..2',
            '0-99999999',
            '^0-3',
            '+1',
        ):
            self.assertRaises(ValueError, cpuset.parse, text)
        for text in (
            'xyz',
            '',
            '-1',
            '+1',
            '0x1',
            '1_0',
            '1,,1',
            '123456789',
            'f' + ',00000000' * 2048,
        ):
            self.assertRaises(ValueError, cpuset.parse_mask, text)
        self.assertRaises(ValueError, cpuset.from_bits, -1)

    @given(st.text(max_size=20))
    def test_any_text_is_read_or_refused(self, text):
        try:
            self.assertLessEqual(max(cpuset.parse(text), default=0), 65535)
        except ValueError:
            return
