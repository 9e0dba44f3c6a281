"""Files below a root, whatever its links say."""

import os

import fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
import testtools
from testtools.matchers import Contains, Equals, Is

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access import sysfs


class TreeTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.outside = self.useFixture(fixtures.TempDir()).path
        self.root = self.useFixture(fixtures.TempDir()).path
        self.put(f'{self.outside}/secret', b'1')
        self.put(f'{self.root}/sys/devices/one', b'1\n')
        self.tree = sysfs.Tree(self.root)

    def put(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as stream:
            stream.write(content)

    def link(self, path: str, target: str) -> None:
        os.makedirs(os.path.dirname(f'{self.root}/{path}'), exist_ok=True)
        os.symlink(target, f'{self.root}/{path}')


class TestLinks(TreeTest):
    def test_relative_link_to_directory(self):
        self.link('sys/class/here', '../devices')
        self.assertThat(self.tree.text('sys/class/here/one'), Equals('1'))

    def test_relative_link_to_file(self):
        self.link('sys/class/one', '../devices/one')
        self.assertThat(self.tree.text('sys/class/one'), Equals('1'))

    def test_absolute_link_starts_at_the_root(self):
        self.link('sys/class/here', '/sys/devices')
        self.assertThat(self.tree.text('sys/class/here/one'), Equals('1'))

    def test_link_of_links(self):
        self.link('a', 'b/devices')
        self.link('b', '/c')
        self.link('c', 'sys')
        self.assertThat(self.tree.real('a/one'), Equals('sys/devices/one'))

    def test_absolute_link_to_the_outside_is_nothing(self):
        self.link('sys/secret', f'{self.outside}/secret')
        self.link('sys/dir', self.outside)
        self.assertThat(self.tree.text('sys/secret'), Is(None))
        self.assertThat(self.tree.text('sys/dir/secret'), Is(None))
        self.assertThat(self.tree.names('sys/dir'), Equals([]))

    def test_climbing_link_stops_at_the_root(self):
        up = '../' * 40
        self.link('sys/secret', f'{up}{self.outside}/secret')
        self.link('sys/one', f'{up}sys/devices/one')
        self.assertThat(self.tree.text('sys/secret'), Is(None))
        self.assertThat(self.tree.text('sys/one'), Equals('1'))

    def test_climbing_path_stops_at_the_root(self):
        name = os.path.basename(self.outside)
        self.assertThat(self.tree.text(f'../{name}/secret'), Is(None))

    def test_loop_is_unreadable(self):
        self.link('sys/loop', 'loop')
        error = self.assertRaises(
            InventoryUnreadable, self.tree.text, 'sys/loop/one'
        )
        self.assertThat(str(error), Contains('too many links'))

    def test_dangling_link_is_nothing(self):
        self.link('sys/gone', '../nowhere/at/all')
        self.assertThat(self.tree.text('sys/gone'), Is(None))
        self.assertThat(self.tree.real('sys/gone'), Is(None))
        self.assertThat(self.tree.link_name('sys/gone'), Equals('all'))

    def test_link_name_of_what_is_no_link(self):
        self.assertThat(self.tree.link_name('sys/devices/one'), Is(None))
        self.assertThat(self.tree.link_name('no/where'), Is(None))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(['a', 'a/b', 'a/b/c', 'd', 'd/e']),
                st.lists(
                    st.sampled_from(['..', '.', '', 'a', 'b', 'd', 'e']),
                    max_size=6,
                ).map('/'.join),
            ),
            max_size=6,
            unique_by=lambda link: link[0],
        ),
        st.lists(st.sampled_from(['..', 'a', 'b', 'c', 'd', 'e']), max_size=5),
    )
    def test_nothing_outside_is_ever_named(self, links, parts):
        root = self.useFixture(fixtures.TempDir()).path
        for path, target in links:
            directory = os.path.dirname(f'{root}/{path}')
            try:
                os.makedirs(directory, exist_ok=True)
                os.symlink(target, f'{root}/{path}')
            except OSError:
                continue
        tree = sysfs.Tree(root)
        try:
            real = tree.real('/'.join(parts))
        except InventoryUnreadable:
            return
        if real is None:
            return
        place = os.path.realpath(f'{root}/{real}')
        inside = os.path.realpath(root)
        self.assertThat(os.path.commonpath([place, inside]), Equals(inside))
        self.assertThat(place, Equals(f'{inside}/{real}'.rstrip('/')))


class TestText(TreeTest):
    def test_absent_is_none(self):
        self.assertThat(self.tree.text('sys/none'), Is(None))
        self.assertThat(self.tree.text('none/none'), Is(None))
        self.assertThat(self.tree.text('sys/devices/one/two'), Is(None))
        self.assertThat(self.tree.number('sys/none'), Is(None))
        self.assertThat(self.tree.cpus('none', 'none'), Is(None))
        self.assertThat(self.tree.names('none'), Equals([]))

    def test_not_text(self):
        self.put(f'{self.root}/sys/bytes', b'\xff\xfe')
        error = self.assertRaises(
            InventoryUnreadable, self.tree.text, 'sys/bytes'
        )
        self.assertThat(str(error), Contains(f'{self.root}/sys/bytes'))

    def test_too_long(self):
        self.put(f'{self.root}/sys/long', b'0' * (sysfs.MAX_BYTES + 1))
        error = self.assertRaises(
            InventoryUnreadable, self.tree.text, 'sys/long'
        )
        self.assertThat(str(error), Contains('longer than'))

    def test_longest(self):
        self.put(f'{self.root}/sys/long', b'0' * sysfs.MAX_BYTES)
        self.assertThat(
            len(self.tree.raw('sys/long')), Equals(sysfs.MAX_BYTES)
        )

    def test_own_limit(self):
        content = b'0' * (sysfs.MAX_BYTES + 1)
        self.put(f'{self.root}/sys/long', content)
        self.link('long', 'sys/long')
        for path in ('sys/long', 'long'):
            found = self.tree.raw(path, limit=sysfs.LARGE_BYTES)
            self.assertThat(len(found), Equals(len(content)))
        error = self.assertRaises(
            InventoryUnreadable, self.tree.text, 'sys/long', limit=10
        )
        self.assertThat(str(error), Contains('longer than 10 bytes'))

    def test_pipe_does_not_stop_us(self):
        os.mkfifo(f'{self.root}/sys/pipe')
        self.assertThat(self.tree.text('sys/pipe'), Equals(''))

    def test_no_directory(self):
        self.assertRaises(InventoryUnreadable, sysfs.Tree, f'{self.root}/none')

    def test_names_that_cannot_be_printed(self):
        for name in (b'\xff', b'a\x1b[2J'):
            path = os.path.join(os.fsencode(self.root), b'd', name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb'):
                pass
            self.assertRaises(InventoryUnreadable, self.tree.names, 'd')
            os.unlink(path)

    def test_root_under_another_name(self):
        self.link('all', '/')
        self.assertThat(sysfs.Tree(f'{self.root}/all').is_this_host, Is(True))
        self.assertThat(self.tree.is_this_host, Is(False))

    def test_one_of_proc_and_sys(self):
        tree = sysfs.Tree('/')
        self.assertThat(tree.text('proc/meminfo'), Contains('MemTotal'))
        self.assertThat(
            tree.cpus('sys/devices/system/cpu/possible', ''), Contains(0)
        )


class TestNumbers(TreeTest):
    def test_numbers(self):
        for content, number in (
            (b'12\n', 12),
            (b'-1\n', -1),
            (b'0x1002\n', 0x1002),
            (b'\n', None),
        ):
            self.put(f'{self.root}/sys/number', content)
            self.assertThat(self.tree.number('sys/number'), Equals(number))

    def test_not_a_number(self):
        for content in (b'1 2', b'0xzz', b'many', b'1' * 5000):
            self.put(f'{self.root}/sys/number', content)
            self.assertRaises(
                InventoryUnreadable, self.tree.number, 'sys/number'
            )

    def test_list_before_mask(self):
        self.put(f'{self.root}/list', b'0-2,8\n')
        self.put(f'{self.root}/mask', b'00000001,00000003\n')
        self.assertThat(
            self.tree.cpus('list', 'mask'), Equals(frozenset((0, 1, 2, 8)))
        )
        self.assertThat(
            self.tree.cpus('none', 'mask'), Equals(frozenset((0, 1, 32)))
        )

    def test_no_cpus(self):
        self.put(f'{self.root}/list', b'\n')
        self.assertThat(self.tree.cpus('list', 'none'), Equals(frozenset()))

    def test_bad_sets(self):
        self.put(f'{self.root}/list', b'0-')
        self.put(f'{self.root}/mask', b'xyz')
        self.assertRaises(InventoryUnreadable, self.tree.cpus, 'list', 'mask')
        error = self.assertRaises(
            InventoryUnreadable, self.tree.cpus, 'none', 'mask'
        )
        self.assertThat(str(error), Contains(f'{self.root}/mask'))
