"""The kinds of settings: words that receipts and journals have."""

import testtools

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.host.prep.kinds import table

#: As the first release wrote them.
WORDS = (
    'thread-affinity', 'vf-attribute', 'host-mode', 'guest', 'sysfs',
    'module-parameter', 'running-parameter', 'module', 'module-load',
    'kernel-arguments', 'udev-rule', 'service', 'cpu-affinity',
)  # fmt: skip


class SettingKindTest(testtools.TestCase):
    def test_words_stay(self):
        self.assertEqual(sorted(WORDS), sorted(map(str, SettingKind)))

    def test_the_hosts_own_are_found_by_the_words_of_a_journal(self):
        for word in WORDS[4:]:
            self.assertIn(word, table.KINDS)
        self.assertEqual(set(WORDS[4:]), {str(kind) for kind in table.KINDS})
