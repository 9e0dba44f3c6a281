"""JSON and YAML as the texts that were written."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Equals, LessThan
import yaml

from kvm_tuning.core import plain_text

GOOD = [
    ('a: 1', {'a': '1'}),
    ('a: 2.10', {'a': '2.10'}),
    ('a: 010', {'a': '010'}),
    ('a: 1:30', {'a': '1:30'}),
    ('a: 1_000', {'a': '1_000'}),
    ('a: 2026-01-01', {'a': '2026-01-01'}),
    ('a: 0-3,8', {'a': '0-3,8'}),
    ('a: true\nb: On\nc: YES', {'a': 'true', 'b': 'true', 'c': 'true'}),
    ('a: no\nb: False\nc: OFF', {'a': 'false', 'b': 'false', 'c': 'false'}),
    ('a: "yes"', {'a': 'yes'}),
    ("a: 'null'", {'a': 'null'}),
    ('a: null\nb: ~\nc:', {'a': None, 'b': None, 'c': None}),
    ('a: ""', {'a': ''}),
    ('a:\n  b: [1, two]', {'a': {'b': ['1', 'two']}}),
    ('hw:cpu_policy: dedicated', {'hw:cpu_policy': 'dedicated'}),
    ('"hw:numa_mem.0": 1', {'hw:numa_mem.0': '1'}),
    ('--- # first\na: b\n...\n', {'a': 'b'}),
    ('\ufeffa: b', {'a': 'b'}),
    ('plain', 'plain'),
    ('', None),
    ('# nothing', None),
    ('{"a": 1, "b": 2.10}', {'a': '1', 'b': '2.10'}),
    (' {"a": true, "b": null}', {'a': 'true', 'b': None}),
    ('{"a": {"b": [false, NaN]}}', {'a': {'b': ['false', 'NaN']}}),
    ('[{"a": "b"}]', [{'a': 'b'}]),
    ('{"a": ' + '9' * 5000 + '}', {'a': '9' * 5000}),
]

BAD = [
    ('a: 1\na: 2', "the key 'a' appears twice in line 2"),
    ('{"a": 1, "b": 2, "a": 1}', "the key 'a' appears twice"),
    ('a: &x 1\nb: *x', 'an alias, *x in line 2'),
    ('&a [*a]', 'an alias, *a in line 1'),
    ('!!python/object/apply:os.system [x]', 'a tag, tag:yaml.org,2002:py'),
    ('a: !!binary aGk=', 'a tag, tag:yaml.org,2002:binary in line 1'),
    ('a: 1\n---\na: 2', 'a second document in line 2'),
    ('? [a]\n: b', 'a key that is not a text in line 1'),
    ('~: b', 'a key that is not a text in line 1'),
    ('a: b: c', 'not YAML: mapping values are not allowed'),
    ('a: \x00', 'not YAML: '),
    ('a: \ud800', 'not text: surrogates not allowed'),
    ('{"a": 1,}', 'not JSON: '),
    ('{a: 1}', 'not JSON: '),
    ('[' * 200_000, 'more than 16 levels deep'),
    ('x: ' + '[' * 200_000, 'more than 16 levels deep'),
    ('- ' * 200_000, 'more than 16 levels deep'),
    ('{"a":' * 200_000, 'more than 16 levels deep'),
    ('[' * 17 + ']' * 17, 'more than 16 levels deep'),
    ('x: ' + '[' * 17 + ']' * 17, 'more than 16 levels deep'),
    ('x' * 1_048_577, 'it has 1048577 characters: want at most 1048576'),
]

SCALARS = st.text(max_size=8) | st.booleans() | st.none()
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def texts(tree):
    """Return ``tree`` as plain_text reads it."""
    if isinstance(tree, bool):
        return 'true' if tree else 'false'
    if isinstance(tree, list):
        return [texts(value) for value in tree]
    if isinstance(tree, dict):
        return {key: texts(value) for key, value in tree.items()}
    return tree


class TestRead(testtools.TestCase):
    def test_good(self):
        for text, wanted in GOOD:
            self.assertThat(plain_text.read(text), Equals(wanted), text)

    def test_bad(self):
        for text, wanted in BAD:
            found = self.assertRaises(ValueError, plain_text.read, text)
            self.assertThat(str(found), Contains(wanted))
            self.assertThat(len(str(found)), LessThan(300))

    def test_depth_that_is_allowed(self):
        for opening in ('', 'x: '):
            levels = 15 if opening else 16
            plain_text.read(opening + '[' * levels + ']' * levels)

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=8), TREES, max_size=4))
    def test_what_json_writes(self, tree):
        found = plain_text.read(json.dumps(tree))
        self.assertThat(found, Equals(texts(tree)))

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=8), TREES, max_size=4))
    def test_what_yaml_writes(self, tree):
        # Without aliases for equal values, as the OpenStack client does.
        class Dumper(yaml.SafeDumper):
            def ignore_aliases(self, data):
                return True

        written = yaml.dump(tree, Dumper=Dumper, default_flow_style=False)
        if written.lstrip().startswith(('{', '[')):
            return
        self.assertThat(plain_text.read(written), Equals(texts(tree)))

    @settings(deadline=None)
    @given(st.text() | st.text('{}[]",:- \n&*!?|>\'ab01'))
    def test_value_or_error(self, text):
        try:
            plain_text.read(text)
        except ValueError as exc:
            self.assertThat(type(exc), Equals(ValueError))
