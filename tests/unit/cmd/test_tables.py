"""Tables and lines for people."""

import argparse
import io
import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.cmd import main, tables
from tests.fixtures import domain_store
from tests.unit.cmd.base import CommandTest

WIDTHS = (80, 120)
_ESCAPE = '\x1b['


class Terminal(io.StringIO):
    """A terminal as far as programs ask."""

    def isatty(self):
        return True


class WrapTest(testtools.TestCase):
    def test_breaks_between_words(self):
        self.assertThat(
            tables.wrap('one two-three four', 9),
            Equals(['one', 'two-three', 'four']),
        )

    def test_a_wide_word_breaks_behind_a_comma_or_a_slash(self):
        self.assertThat(
            tables.wrap('at 0,2,4,6,8,10', 6),
            Equals(['at', '0,2,4,', '6,8,10']),
        )
        self.assertThat(
            tables.wrap('devices/disk/driver', 13),
            Equals(['devices/disk/', 'driver']),
        )

    def test_a_wide_word_without_either_is_folded(self):
        self.assertThat(tables.wrap('abcdefg', 3), Equals(['abc', 'def', 'g']))

    def test_a_wide_character_takes_two_columns(self):
        self.assertThat(tables.wrap('世界 世界', 5), Equals(['世界', '世界']))

    def test_lines_of_a_text_stay(self):
        self.assertThat(tables.wrap('a\nb', 9), Equals(['a', 'b']))


class WriteTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for name in ('NO_COLOR', 'FORCE_COLOR', 'COLUMNS'):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))

    def write(self, names, rows, columns=40, stdout=None, **options):
        stdout = stdout or io.StringIO()
        tables.write(stdout, names, rows, columns, **options)
        return stdout.getvalue()

    def test_a_table(self):
        self.assertThat(
            self.write(('name', 'n'), [('a b', 12), ('c', 3)]),
            Equals('name   n\n--------\na b   12\nc      3\n'),
        )

    def test_an_empty_column_is_dropped(self):
        rows = [('a', '', None), ('b', '-', '')]
        text = self.write(('name', 'empty', 'none'), rows)
        self.assertThat(text.splitlines()[0], Equals('name'))

    def test_a_zero_is_not_empty(self):
        text = self.write(('name', 'count'), [('a', 0)])
        self.assertThat(text, Contains('count'))

    def test_an_empty_column_that_was_named_stays(self):
        text = self.write(('name', 'empty'), [('a', '')], keep=True)
        self.assertThat(text, Contains('empty'))

    def test_what_does_not_fit_is_a_list_of_records(self):
        long = 'x' * 30
        self.assertThat(
            self.write(('name', 'why'), [(long, long), (long, 'y')]),
            Equals(f'name  {long}\nwhy   {long}\n\nname  {long}\nwhy   y\n'),
        )

    def test_a_spare_column_is_left_out_first(self):
        long = 'x' * 30
        rows = [(long, 'y' * 20)]
        text = self.write(('name', 'hook'), rows, spare=('hook',))
        self.assertThat(text, Equals(f'name\n{"-" * 30}\n{long}\n'))
        wide = self.write(('name', 'hook'), rows, 60, spare=('hook',))
        self.assertThat(wide, Contains('hook'))

    def test_colours_on_a_terminal_only(self):
        rows = [('web1', 'error')]
        names = ('guest', 'verdict')
        self.assertThat(self.write(names, rows), Not(Contains(_ESCAPE)))
        shown = self.write(names, rows, stdout=Terminal())
        self.assertThat(shown, Contains(f'{_ESCAPE}1;31merror'))

    def test_no_color(self):
        self.useFixture(fixtures.EnvironmentVariable('NO_COLOR', '1'))
        text = self.write(('verdict',), [('error',)], stdout=Terminal())
        self.assertThat(text, Not(Contains(_ESCAPE)))

    def test_a_line_is_coloured_by_its_first_word(self):
        stdout = Terminal()
        tables.write_line(stdout, '- warning: no error')
        self.assertThat(stdout.getvalue(), Contains('33mwarning'))
        self.assertThat(stdout.getvalue(), Not(Contains('31merror')))

    def test_a_line_keeps_its_indent(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '40'))
        stdout = io.StringIO()
        tables.write_line(stdout, '    ' + 'word ' * 9)
        lines = stdout.getvalue().splitlines()
        self.assertThat(lines[0], Equals('    ' + ' '.join(['word'] * 7)))
        self.assertThat(lines[1], Equals('      ' + ' '.join(['word'] * 2)))

    def test_max_width_narrows(self):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '100'))
        self.assertThat(tables.width(60), Equals(60))
        self.assertThat(tables.width(200), Equals(100))
        self.assertThat(tables.width(), Equals(100))


class WidthTest(CommandTest):
    """No command writes a line that is wider than the terminal, or part of a
    word.
    """

    def shown(self, argv, columns):
        with fixtures.EnvironmentVariable('COLUMNS', str(columns)):
            done = self.run_command(*argv)
        self.assertThat(done.status in (0, 1), Equals(True), done.stderr)
        return done.stdout

    def commands(self):
        root = self.host()
        flavor = self.flavor(
            **{
                'hw:cpu_policy': 'dedicated',
                'kvm:cpu_locality': 'l3',
                'kvm:profile': 'latency',
            }
        )
        conf = os.path.join(root, 'etc/kvm-tuning')
        os.makedirs(conf)
        with open(os.path.join(conf, 'kvm-tuning.conf'), 'w') as file:
            file.write(
                '[placement]\ndedicated_cpus = 2-31\nshared_cpus = 0-1\n'
                '[ksm]\nrun = off\n'
            )
        at = ('--root', root)
        yield 'knob', 'list'
        for name in ('kvm:disk_io', 'kvm:vfs', 'hw:mem_page_size'):
            yield 'knob', 'show', name
        yield 'flavor', 'check', flavor
        yield 'flavor', 'check', flavor, *at
        yield 'flavor', 'compile', flavor
        xml = ('--xml', self.write('g.xml', domain_store.xml('g', 4, 1024)))
        yield 'guest', 'plan', '--flavor', flavor, *xml, *at
        for words in ('topology', 'topology --cpus', 'devices',
                      'devices --tree', 'plan', 'status'):  # fmt: skip
            yield 'host', *words.split(), *at
        yield 'host', 'devices', '-c', 'address', '-c', 'driver', *at

    def test_widths_and_words(self):
        for argv in self.commands():
            whole = set(self.shown(argv, 4000).split())
            parts = {
                part
                for word in whole
                for part in word.replace('/', ',').split(',')
            }
            for columns in WIDTHS:
                text = self.shown(argv, columns)
                wide = [
                    line for line in text.splitlines() if len(line) > columns
                ]
                self.assertThat(wide, HasLength(0), (argv, columns))
                for word in set(text.split()) - whole:
                    if set(word) == {'-'}:
                        continue
                    broken = word.replace('/', ',').strip(',').split(',')
                    self.assertThat(
                        set(broken) - parts, HasLength(0), (argv, word)
                    )

    def test_help(self):
        names = main.CommandManager(main.NAMESPACE).commands
        self.assertThat(len(names) > 20, Equals(True))
        for name in names:
            whole = set(self.shown((*name.split(), '--help'), 4000).split())
            for columns in WIDTHS:
                text = self.shown((*name.split(), '--help'), columns)
                for line in text.splitlines():
                    self.assertThat(
                        len(line) <= columns, Equals(True), (name, line)
                    )
                left = set(text.split()) - whole - {'\\'}
                self.assertThat(left, HasLength(0), (name, left))


class FormatterTest(CommandTest):
    def test_print_empty(self):
        form = tables.Formatter()
        options = argparse.Namespace(
            print_empty=False, max_width=0, columns=[]
        )
        stdout = io.StringIO()
        form.emit_list(('a',), [], stdout, options)
        self.assertThat(stdout.getvalue(), Equals(''))
        options.print_empty = True
        form.emit_list(('a',), [], stdout, options)
        self.assertThat(stdout.getvalue(), Equals('a\n-\n'))

    def test_a_column_of_a_table(self):
        done = self.run_command('knob', 'list', '-c', 'knob', '-c', 'hook')
        self.assertThat(
            done.stdout.splitlines()[0].split(), Equals(['knob', 'hook'])
        )
