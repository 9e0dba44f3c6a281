"""Values that are not what their author wrote are all named."""

import datetime

import testtools

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host import document_values

TEXT = """\
a: &one {x: 010, on: 1, 5: 2, y: .inf, y: 3}
[b]: 1
c: [2024-01-02, 1.5, 1_000, {z: 1e3}]
d: &loop [*loop]
e:
  <<: *one
  t: 1:30
f: {good: 1, text: '010', number: -1.5, none: null, flag: true}
"""


class ReadTest(testtools.TestCase):
    def wrong(self, text):
        error = self.assertRaises(
            ConfigInvalid, document_values.read, text, 'doc'
        )
        return str(error).split('; ')

    def test_each_is_named_with_its_line(self):
        found = self.wrong(TEXT)
        for words in (
            'doc.a.x = 010 in line 1 is read as 8: write that, or',
            'doc.a.on in line 1 is not a text: write the key in quotes',
            'doc.a.5 in line 1 is not a text: write the key in quotes',
            'doc.a.y = .inf in line 1 is read as inf',
            'doc.a.y appears twice, again in line 1',
            'doc.... in line 2 is not a text: write the key in quotes',
            'doc.c.0 = 2024-01-02 in line 3 is read as a timestamp: write',
            'doc.c.2 = 1_000 in line 3 is read as 1000',
            'doc.d.0 in line 4 contains itself',
            'doc.e.t = 1:30 in line 7 is read as 90',
        ):
            self.assertTrue(
                any(each.startswith(words) for each in found),
                f'{words!r} not in {found}',
            )
        named = ' '.join(found)
        for good in ('doc.f', 'doc.c.1 ', 'doc.c.3'):
            self.assertNotIn(good, named)

    def test_what_is_as_written(self):
        self.assertEqual(
            {'f': {'good': 1, 'text': '010', 'number': -1.5}},
            document_values.read(
                "f: {good: 1, text: '010', number: -1.5}", 'doc'
            ),
        )
        # A pair of surrogates, which YAML does not take
        self.assertEqual(
            ['\U0001f600'], document_values.read('["\\ud83d\\ude00"]', 'doc')
        )
        self.assertIsNone(document_values.read('', 'doc'))

    def test_neither_yaml_nor_json(self):
        for text in ('a: [', '{"a": ', '\t- x'):
            (only,) = self.wrong(text)
            self.assertIn('the document cannot be parsed', only)


class ForeignTest(testtools.TestCase):
    def test_what_json_does_not_have(self):
        value = {
            'a': [1, float('nan'), {'b': float('inf')}],
            3: 'x',
            'c': datetime.date(2024, 1, 2),
            'd': {'e': None, 'f': True, 'g': 1.5, 'h': 'text'},
        }
        self.assertEqual(
            [
                'doc.a.1 = nan: want a finite number',
                'doc.a.2.b = inf: want a finite number',
                'doc.3 is not a text: write the key in quotes',
                'doc.c = 2024-01-02 is read as a date: write the value in '
                'quotes',
            ],
            list(document_values.foreign(value, 'doc')),
        )
