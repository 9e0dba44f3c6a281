"""Kernel arguments in the menus of boot loaders."""

import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import grub_place, next_boot
from kvm_tuning.host.prep.goals import Argument, Goal, Note, Refusal
from kvm_tuning.host.prep.kinds import kernel_arguments
from tests.fixtures import killed, prepared, whole_host

_VALUE = 'nohz_full=2-3'
_OTHER = (
    '### BEGIN /etc/grub.d/{script} ###\n'
    'menuentry Other {{\n linux /vmlinuz-other root={root} quiet\n}}\n'
    '### END /etc/grub.d/{script} ###\n'
)


class MenuTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        self.kernel = whole_host.build(self.root)
        self.kernel.put('proc/cmdline', 'root=/dev/vda ro quiet')

    def items(self):
        key, _equals, value = _VALUE.partition('=')
        arguments = [Argument(key, value, 'cpu_isolation', 'ticks')]
        return list(next_boot.goals(Host(Tree(self.root)), arguments, [key]))

    def apply(self):
        return prepared.apply(self.kernel, self.items())

    def notes(self):
        return [str(i) for i in self.items() if isinstance(i, Note)]

    def places(self):
        return [i.setting.name for i in self.items() if isinstance(i, Goal)]


class TestEntries(MenuTest):
    def test_one_without_options_is_left_alone(self):
        path = f'{kernel_arguments.ENTRIES}/memtest.conf'
        text = 'title Memtest\nefi /memtest86.efi'
        self.kernel.put(path, text)
        self.assertThat(
            self.notes(), Contains(f'[kernel_arguments] /{path} has no '
                                   f'options line and is left as it is')
        )  # fmt: skip
        self.assertThat(self.places(), Contains(whole_host.ENTRY))
        done = self.apply()
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.kernel.get(path), Equals(text))
        self.assertThat(self.kernel.get(whole_host.ENTRY), Contains(_VALUE))


class TestForeign(MenuTest):
    def refusals(self):
        return [str(i) for i in self.items() if isinstance(i, Refusal)]

    def test_the_kernel_takes_the_first_only(self):
        self.kernel.put(
            'etc/default/grub', 'GRUB_CMDLINE_LINUX="quiet nohz_full=1-3"'
        )
        (refusal,) = self.refusals()
        self.assertThat(refusal, Contains('/etc/default/grub'))
        self.assertThat(refusal, Contains('nohz_full=1-3'))

    def test_the_same_twice_is_told(self):
        self.kernel.put(
            'etc/default/grub', f'GRUB_CMDLINE_LINUX="quiet {_VALUE}"'
        )
        self.assertThat(self.refusals(), Equals([]))
        self.assertThat(''.join(self.notes()), Contains(_VALUE))


class TestGrub(MenuTest):
    def add(self, text, ours=True):
        """Have update-grub add ``text``, and ours only where asked."""
        make = self.kernel.run

        def run(command):
            if command != ['update-grub']:
                return make(command)
            before = self.menu()
            done = make(command)
            menu = self.menu() if ours else before.partition('###')[0]
            self.kernel.put(kernel_arguments.GRUB_MENU, f'{menu}\n{text}')
            return done

        self.kernel.run = run
        run(['update-grub'])

    def menu(self):
        return self.kernel.get(kernel_arguments.GRUB_MENU)

    def test_another_linux_need_not_have_them(self):
        for script, root in (
            ('30_os-prober', '/dev/sdb1'),
            ('40_custom', '/dev/vda'),
            ('45_lab', '/dev/sdb1'),
        ):
            self.add(_OTHER.format(script=script, root=root))
            (note,) = self.notes()
            self.assertThat(
                note, Contains(f'starts /vmlinuz-other without {_VALUE}')
            )
            self.assertThat(self.apply().failed, Equals([]), script)
            self.assertThat(self.menu(), Contains(_VALUE))
            self.assertThat(
                prepared.take_back(self.kernel).failed, HasLength(0)
            )

    def test_ours_must_have_them(self):
        other = _OTHER.format(script='30_os-prober', root='/dev/sdb1')
        self.add(other, ours=False)
        (failed, *_more) = self.apply().failed
        self.assertThat(failed, Contains('not in the menu yet'))

    def test_all_must_where_none_has_our_root(self):
        self.kernel.put('proc/cmdline', 'root=/dev/nfs')
        self.add(_OTHER.format(script='10_linux', root='/dev/sdb1'))
        (failed, *_more) = self.apply().failed
        self.assertThat(failed, Contains('not in the menu yet'))

    def test_all_must_where_all_are_by_hand(self):
        self.kernel.put('etc/default/grub.d/keep', '')
        os.unlink(f'{self.root}/{kernel_arguments.GRUB_MENU}')
        text = _OTHER.format(script='40_custom', root='/dev/vda')
        self.kernel.put(kernel_arguments.GRUB_MENU, text)
        self.assertThat(
            grub_place.in_menu(Host(Tree(self.root)), _VALUE), Equals(False)
        )
