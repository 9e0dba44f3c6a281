"""The kernel's command line as the kernel reads it."""

from hypothesis import given
from hypothesis import strategies as st
import testtools
from testtools.matchers import Equals, Is

from kvm_tuning.host.prep.kinds import command_line

_WORD = st.text('abc_=.,0123456789', min_size=1, max_size=12).filter(
    lambda text: not text.startswith('=')
)


class TestValue(testtools.TestCase):
    def test_last_one_counts(self):
        line = 'a=1 isolcpus=1-3 quiet isolcpus=2'
        self.assertThat(command_line.value(line, 'isolcpus'), Equals('2'))

    def test_dashes_are_underscores(self):
        line = 'transparent-hugepage=never'
        self.assertThat(
            command_line.value(line, 'transparent_hugepage'), Equals('never')
        )

    def test_a_word_and_nothing(self):
        self.assertThat(command_line.value('ro quiet', 'quiet'), Equals(''))
        self.assertThat(command_line.value('ro', 'quiet'), Is(None))

    def test_what_is_inits_is_not_ours(self):
        self.assertThat(command_line.value('ro -- a=1', 'a'), Is(None))

    def test_quotes_keep_blanks(self):
        line = 'dyndbg="file a.c +p" a=1'
        self.assertThat(
            command_line.words(line), Equals(['dyndbg="file a.c +p"', 'a=1'])
        )

    def test_prefix_is_another_name(self):
        self.assertThat(
            command_line.value('isolcpus2=1', 'isolcpus'), Is(None)
        )

    @given(st.lists(_WORD, max_size=8), _WORD)
    def test_without_leaves_the_others(self, words, name):
        name = command_line.key(name)
        left = command_line.without(' '.join(words), [name])
        self.assertThat(command_line.value(left, name), Is(None))
        kept = [w for w in words if command_line.key(w) != name]
        self.assertThat(command_line.words(left), Equals(kept))


class TestComments(testtools.TestCase):
    TEXT = '# for a=1\nb=2 c\n  # d=3 was needed'

    def test_their_words_are_nobodys(self):
        self.assertThat(command_line.words(self.TEXT), Equals(['b=2', 'c']))
        self.assertThat(command_line.value(self.TEXT, 'd'), Is(None))

    def test_an_edit_leaves_them_to_the_byte(self):
        edited = command_line.edited(
            self.TEXT, lambda unit: unit[0] in ('b=2', 'd=3'), 'e=4'
        )
        self.assertThat(edited, Equals('# for a=1\nc e=4\n  # d=3 was needed'))

    def test_where_all_is_comment_a_line_is_added(self):
        self.assertThat(
            command_line.edited('# a', lambda unit: True, 'e=4'),
            Equals('# a\ne=4'),
        )
