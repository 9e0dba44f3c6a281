"""Attributes with one value of several, and flags."""

import testtools

from kvm_tuning.host.access import attribute


class AttributeTest(testtools.TestCase):
    def test_one_of_several(self):
        for text, chosen, options in (
            ('always [madvise] never', 'madvise', 3),
            ('[none]', 'none', 1),
            ('[mq-deadline] kyber none', 'mq-deadline', 3),
            ('none', None, 1),
            ('', None, 0),
        ):
            found = attribute.choice(text)
            self.assertEqual(chosen, found[0], text)
            self.assertEqual(options, len(found[1]), text)
            self.assertNotIn('[', ''.join(found[1]))

    def test_plain(self):
        for text, value in (
            ('always [madvise] never', 'madvise'),
            ('Y', '1'),
            ('N', '0'),
            ('200000', '200000'),
            ('none', 'none'),
        ):
            self.assertEqual(value, attribute.plain(text))
