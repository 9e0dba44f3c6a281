"""What is known of the worth of each knob and group of settings."""

from pathlib import Path

import testtools
from testtools.matchers import Contains, Equals
import yaml

from kvm_tuning import loader, worth_table
from kvm_tuning.host.prep.groups.table import GROUPS

PAGE = Path(__file__).parents[2] / 'doc/source/reference/worth.yaml'
ENTRY = {'of': ['a'], 'figure': 'f', 'source': 's', 'trust': 't'}


class WorthTest(testtools.TestCase):
    def test_the_page_has_every_knob_and_group(self):
        knobs = loader.knobs(loader.load())
        names = {*knobs, *(group.name for group in GROUPS)}
        found = worth_table.read(yaml.safe_load(PAGE.read_text()), names)
        self.assertThat(set(found), Equals(names))
        text = '\n'.join(worth_table.lines(found))
        for name in names:
            self.assertThat(text, Contains(f'``{name}``\n'))

    def test_figures(self):
        found = worth_table.read([ENTRY], ['a', 'b'])
        self.assertThat(
            list(worth_table.lines(found)),
            Equals(
                [
                    '``a``',
                    '   * f.',
                    '     *Source*: s.',
                    '     *Trust*: t.',
                    '',
                    '``b``',
                    f'   {worth_table._NOTHING}',
                    '',
                    '',
                ]
            ),
        )

    def test_what_is_wrong_is_named(self):
        for entry, said in (
            ({**ENTRY, 'of': ['x']}, 'x is not a knob'),
            ({'of': ['a'], 'figure': 'f', 'source': 's'}, 'trust'),
            ({**ENTRY, 'more': 1}, 'more'),
        ):
            error = self.assertRaises(
                ValueError, worth_table.read, [entry], ['a']
            )
            self.assertThat(str(error), Contains(said))
