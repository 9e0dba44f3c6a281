"""The kernel's command line as the kernel reads it."""

from hypothesis import given
from hypothesis import strategies as st
import testtools
from testtools.matchers import Equals, Is

from kvm_tuning.host.prep.goals import Argument
from kvm_tuning.host.prep.kinds import command_line, kernel_arguments

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


class TestInForce(testtools.TestCase):
    def test_outdone_by_a_later_one(self):
        wanted = [Argument('nohz_full', '2-3', 'cpu_isolation', '')]
        self.assertThat(
            kernel_arguments.in_force('ro nohz_full=2-3', wanted), Is(True)
        )
        self.assertThat(
            kernel_arguments.in_force('nohz_full=1 nohz_full=2-3', wanted),
            Is(False),
        )
        self.assertThat(
            kernel_arguments.in_force('nohz_full=2-3 nohz_full=1', wanted),
            Is(False),
        )

    def test_pairs_belong_together(self):
        wanted = [Argument('hugepagesz', '1G hugepages=2', 'huge_pages', '')]
        line = 'hugepagesz=2M hugepages=2 hugepagesz=1G'
        self.assertThat(kernel_arguments.in_force(line, wanted), Is(False))
        line = 'hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=9'
        self.assertThat(kernel_arguments.in_force(line, wanted), Is(True))
