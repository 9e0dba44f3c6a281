"""The table of the public cases of hosts says what it should."""

import testtools

from tests.cases import host


class TableTest(testtools.TestCase):
    """Each row runs where ``KVM_TUNING_CASES`` names the cases."""

    def test_each_case_is_answered_rightly(self):
        there = host.folder()
        if there is None:
            self.skipTest('KVM_TUNING_CASES names no cases of hosts')
        rows = host.rows()
        self.assertEqual(
            sorted(each.name for each in there.iterdir()),
            sorted(row['case'] for row in rows),
        )
        for row in rows:
            right, words = host.answer(row, there)
            self.assertTrue(right, f'{row["case"]}: {words}')

    def test_a_wrong_answer_is_seen(self):
        for row, text, statuses in (
            ({'plan': 1}, '', {'plan': 0}),
            ({'says': ['one', 'two']}, 'one', {}),
            ({'never': ['two']}, 'one\ntwo', {'plan': 0}),
        ):
            self.assertFalse(host._judged(row, text, statuses)[0], row)
        row = {'plan': 1, 'says': ['one'], 'never': ['two']}
        right, words = host._judged(row, 'as one says', {'plan': 1})
        self.assertEqual((True, 'plan 1; one says'), (right, words))
