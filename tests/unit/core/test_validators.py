"""What the API's validators take, the parser takes: for every knob."""

import re

from oslo_utils import strutils
import testtools

from kvm_tuning import loader
from kvm_tuning.core.knobs import Count

TEXTS = (
    *map(str, range(300)),
    '512', '999', '1000', '1024', '4095', '4096', '4097', '9999', '99999',
    '1048576', '999999999', '9999999999', '007', '0000000001', '00', '-1',
    '+2', ' 2', '2 ', '2\n', '1_0', '2.0', '\u0662', '0x2', 'x', '', ' ',
    'auto', 'Auto', ' auto', 'auto\n', 'true', 'TRUE', 'yes', 'f', 'none',
    'strict', 'l3', 'L3', '0-3', '3-0', '-', ',', '^', '0,,1', '^1', 'a:1',
    'a:1,b:2', 'a:1,', 'a', 'a b', 'a/b', 'a;b', 'a$(b)', '\u00e4', '0=1',
    'x' * 255, 'x' * 256, 'required', '2MB', '0KB', 'large',
)  # fmt: skip


def accepts(value, text):
    """Return what Nova's ``ExtraSpecValidator`` says of a text."""
    if value['type'] is bool:
        try:
            strutils.bool_from_string(text, strict=True)
        except ValueError:
            return False
        return True
    assert value['type'] is str, value
    if 'pattern' in value:
        return re.fullmatch(value['pattern'], text) is not None
    return 'enum' not in value or text in value['enum']


def parses(kind, text):
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


class ValidatorsTest(testtools.TestCase):
    def test_every_knob(self):
        knobs = loader.knobs(loader.load())
        wrong = {
            (name, text)
            for name, knob in knobs.items()
            if not knob.nova
            for text in TEXTS
            if accepts(knob.kind.nova_value(), text)
            and not parses(knob.kind, text)
        }
        self.assertEqual(set(), wrong)

    def test_every_number(self):
        for low, high in (
            (0, 0), (0, 7), (1, 16), (1, 256), (5, 4094), (17, 1003),
            (99, 100), (100, 5999), (0, 65535),
        ):  # fmt: skip
            value = Count(low, high, ('auto',)).nova_value()
            for number in range(high + 1200):
                self.assertEqual(
                    low <= number <= high,
                    accepts(value, str(number)),
                    (low, high, number),
                )
            self.assertTrue(accepts(value, 'auto'))
            self.assertTrue(accepts(value, f'00{high}'))
