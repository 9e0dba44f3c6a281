"""Kinds of knobs, and the four faces of each."""

import re

from hypothesis import given
from hypothesis import strategies as st
import jsonschema
import testtools

from kvm_tuning.core import knobs
from kvm_tuning.core.knobs import (
    Choice,
    Count,
    CpuSet,
    Flag,
    Knob,
    Size,
    Source,
    Word,
)

KINDS = (
    Flag(),
    Count(1, 16),
    Count(1, 256, ('auto',)),
    Size(('small', 'large')),
    Choice(('l3', 'numa')),
    Choice(('only',)),
    CpuSet(),
    Word('a name'),
)


class KindTest(testtools.TestCase):
    def test_good_and_bad(self):
        for kind, good, bad in (
            (
                Flag(),
                {'true': True, 'Yes': True, '0': False, 'off': False},
                ('', 'maybe', '2'),
            ),
            (
                Count(1, 16),
                {'1': 1, ' 16 ': 16},
                ('0', '17', '-1', '1.5', 'auto', '', '١', '9' * 30),
            ),
            (Count(1, 256, ('auto',)), {'auto': 'auto', '256': 256}, ('257',)),
            (
                Size(('large',)),
                {
                    'large': 'large',
                    '2048': 2048,
                    '2MB': 2048,
                    '1GiB': 1048576,
                    '2Mb': 256,
                },
                ('0', 'huge', '2TBs', '-2MB', '', '1b'),
            ),
            (Choice(('a', 'b')), {'a': 'a', ' b ': 'b'}, ('c', 'A', '')),
            (CpuSet(), {'0-2': frozenset({0, 1, 2})}, ('', 'x', '3-1')),
            (Word('a name'), {'perf.l3': 'perf.l3'}, ('', 'a b', 'ü', '/x')),
        ):
            for text, value in good.items():
                self.assertEqual(value, kind.parse(text))
            for text in bad:
                error = self.assertRaises(ValueError, kind.parse, text)
                self.assertIn(kind.description, str(error))

    def test_every_kind_has_a_valid_schema(self):
        for kind in KINDS:
            jsonschema.Draft7Validator.check_schema(kind.schema())

    def test_novas_value_has_its_shape(self):
        for kind in KINDS:
            value = kind.nova_value()
            self.assertIn(value['type'], (str, int, bool))
            self.assertTrue(value['description'])
            unknown = set(value) - {
                'type', 'description', 'enum', 'pattern', 'min', 'max',
            }  # fmt: skip
            self.assertEqual(set(), unknown)

    def test_novas_pattern_of_a_count_takes_the_words(self):
        pattern = Count(1, 256, ('auto',)).nova_value()['pattern']
        self.assertTrue(re.match(pattern, 'auto'))
        self.assertTrue(re.match(pattern, '12'))
        self.assertIsNone(re.match(pattern, 'automatic'))

    @given(st.sampled_from(KINDS), st.text(max_size=12))
    def test_any_text_is_read_or_refused(self, kind, text):
        try:
            kind.parse(text)
        except ValueError as error:
            self.assertTrue(str(error))


class KnobTest(testtools.TestCase):
    def test_a_parameter_finds_its_knob(self):
        cpus = Knob('hw:numa_cpus', CpuSet(), 'help', parameter=r'\d+')
        plain = Knob('kvm:iothreads', Count(1, 16), 'help')
        known = {knob.name: knob for knob in (cpus, plain)}
        self.assertIs(cpus, knobs.by_name(known, 'hw:numa_cpus.12'))
        self.assertIs(plain, knobs.by_name(known, 'kvm:iothreads'))
        for key in ('hw:numa_cpus.x', 'kvm:iothreads.1', 'kvm:no', 'a.b'):
            self.assertIsNone(knobs.by_name(known, key))

    def test_who_makes_a_promise(self):
        promises = {source for source in Source if source.promise}
        self.assertEqual({Source.FLAVOR, Source.IMAGE}, promises)
