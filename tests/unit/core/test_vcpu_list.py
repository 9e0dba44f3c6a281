"""Lists of guest CPUs."""

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Equals

from kvm_tuning.core import vcpu_list

GOOD = [
    ('', [], None),
    (' , ,', [], None),
    ('0-3', [0, 1, 2, 3], None),
    ('3,1', [1, 3], None),
    (' 1 - 2 ', [1, 2], None),
    ('0-3,^2', [0, 1, 3], None),
    ('^0,0-3', [1, 2, 3], None),
    ('0-5,^1-4', [0, 5], None),
    ('^1', [], None),
    ('6-9', [6, 7], 8),
    ('9,7', [7], 9),
    ('0-999999999999', list(range(8)), 8),
    ('0-99,^8-99', list(range(8)), None),
    ('0-99,^9-99,^8', list(range(8)), None),
    ('0-99,^10-99,^8', list(range(8)), 9),
    ('20-30,10-15,^10-12', [], 13),
]

BAD = ('x', '1-', '-1', '3-1', '1--2', '^', '^^1', '0;1', '0x1', '1.0')

NUMBERS = st.integers(0, 20)
RANGES = st.tuples(st.booleans(), NUMBERS, NUMBERS)


class TestVcpuList(testtools.TestCase):
    def test_good(self):
        for text, within, beyond in GOOD:
            found = vcpu_list.read(text)
            self.assertThat(sorted(found.within(8)), Equals(within), text)
            self.assertThat(found.beyond(8), Equals(beyond), text)

    def test_bad(self):
        for text in BAD:
            self.assertRaises(ValueError, vcpu_list.read, text)

    def test_length_is_bounded(self):
        text = '1,' * (vcpu_list.MAX_CHARACTERS // 2)
        vcpu_list.read(text)
        self.assertRaises(ValueError, vcpu_list.read, text + '1')

    @settings(deadline=None)
    @given(st.lists(RANGES, max_size=6), st.integers(1, 12))
    def test_as_sets_would_say(self, ranges, vcpus):
        named, taken, rules = set(), set(), []
        for out, one, other in ranges:
            first, last = sorted((one, other))
            (taken if out else named).update(range(first, last + 1))
            rules.append(f'{"^" if out else ""}{first}-{last}')
        found = vcpu_list.read(','.join(rules))
        wanted = named - taken
        inside = {cpu for cpu in wanted if cpu < vcpus}
        self.assertThat(found.within(vcpus), Equals(inside))
        outside = min(wanted - inside, default=None)
        self.assertThat(found.beyond(vcpus), Equals(outside))
