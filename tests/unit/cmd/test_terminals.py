"""What a terminal reads of names that are anybody's."""

import fixtures

from kvm_tuning.cmd import command, main
from kvm_tuning.cmd.command import Output, Report, Section
from tests.unit.cmd.base import CommandTest

EVIL = 'web\x1b]0;owned\x07\x9b2J\u202e\r\n| fine |'
SHOWN = 'web\\x1b]0;owned\\x07\\x9b2J\\u202e\\r\\n| fine |'


class Evil(Report):
    """Print what others have named."""

    def report(self, parsed_args):
        section = Section('T\x1b', ('name',), [(EVIL,)], lines=(EVIL,))
        return Output({'name': EVIL}, (section,), main=section)


class TerminalTest(CommandTest):
    def show(self, *words):
        self.useFixture(
            fixtures.MonkeyPatch(
                f'{main.__name__}.CommandManager.find_command',
                lambda _self, argv: (Evil, 'evil', argv[1:]),
            )
        )
        return self.run_command('evil', *words).stdout

    def test_in_tables_and_lines(self):
        for words in ((), ('-f', 'csv'), ('-f', 'value'), ('-c', 'name')):
            text = self.show(*words)
            # The writer of CSV escapes the escapes again.
            self.assertIn(SHOWN, text.replace('\\\\', '\\'))
            for each in '\x1b\x07\x9b\u202e\r':
                self.assertNotIn(each, text)

    def test_in_documents(self):
        for form in ('json', 'yaml'):
            text = self.show('-f', form)
            for each in '\x1b\x07\x9b\u202e\r':
                self.assertNotIn(each, text)

    def test_in_errors(self):
        done = self.run_command('knob', 'show', 'a\x1b[2Jb')
        self.assertNotIn('\x1b', done.stderr)

    def test_lines_stay_lines(self):
        self.assertEqual('a\nb', command.escaped('a\nb', keep='\n'))
        self.assertEqual('a\\nb', command.escaped('a\nb'))
        self.assertEqual('größer', command.escaped('größer'))
