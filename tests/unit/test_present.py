"""What commands take and print, and what becomes of guests, is as recorded.

Where a difference is wanted, ``python -m tools.recordings.present`` records
it; it is read in review like any other.
"""

import importlib.util

import testtools

from tools.recordings import present


class PresentTest(testtools.TestCase):
    maxDiff = None

    def assert_recorded(self, part):
        self.assertEqual('', present.differences(part))

    def test_options_of_commands(self):
        self.assert_recorded('parsers')

    def test_commands_that_read(self):
        self.assert_recorded('reading')

    def test_commands_that_judge(self):
        self.assert_recorded('assessing')

    def test_commands_that_change_the_host(self):
        self.assert_recorded('changing')

    def test_commands_on_guests(self):
        self.assert_recorded('guests')

    def test_reference(self):
        if importlib.util.find_spec('sphinx') is None:
            self.skipTest('sphinx is not installed')
        self.assert_recorded('reference')

    def test_scenarios(self):
        self.assert_recorded('scenarios')

    def test_names_that_others_depend_on(self):
        self.assert_recorded('surface')

    def test_nothing_else_is_recorded(self):
        found = {path.stem for path in present.FOLDER.iterdir()}
        self.assertEqual(set(present.PARTS), found)
