"""GRUB's own programs judge what its menu is made of, and what is in it."""

import random
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Equals, GreaterThan

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.boot import grub_defaults, grub_menu, grubenv
from tests.fixtures import grub_settings, killed, real_grub

_MENU = 'boot/grub/grub.cfg'
_BATCH = 50


class JudgeTest(testtools.TestCase):
    COUNT = 1000

    def directory(self):
        return self.useFixture(fixtures.TempDir(killed.SCRATCH)).path


class TestMkconfig(JudgeTest):
    """grub-mkconfig, with grub-script-check, on generated settings."""

    def setUp(self):
        super().setUp()
        if real_grub.missing():
            self.skipTest(f'{real_grub.missing()} is not there')

    def made(self, seed):
        """Return what we expect of a case, and what grub-mkconfig makes;
        None where we do not understand it.
        """
        chance = random.Random(seed)
        root = self.directory()
        real = real_grub.RealGrub(root)
        real.put('etc/default/grub', grub_settings.text(chance))
        for name, text in grub_settings.drop_ins(chance).items():
            real.put(f'etc/default/grub.d/{name}', text)
        try:
            ours = grub_defaults.read(Tree(root)).arguments.split()
        except InventoryUnreadable:
            shutil.rmtree(root)
            return None
        if '"' in ' '.join(ours) or '\\' in ' '.join(ours):
            # Quotes within are the menu's own matter.
            ours = []
        lines = None
        if real.make_menu():
            with open(f'{root}/{_MENU}') as stream:
                lines = [
                    line.split()[4:]
                    for line in stream
                    if line.strip().startswith('linux')
                    and 'single' not in line.split()
                ]
        shutil.rmtree(root)
        return ours, lines

    def test_our_reading_of_the_settings(self):
        understood = 0
        for seed in range(self.COUNT):
            found = self.made(seed)
            if found is None or (not found[0] and found[1] is None):
                continue
            understood += 1
            ours, lines = found
            if ours:
                self.assertThat(lines, Equals([ours, ours]), str(seed))
        self.assertThat(understood, GreaterThan(self.COUNT // 4))


class TestGrub(JudgeTest):
    """GRUB itself, as a program, fills a menu's variables in."""

    _HEAD = (
        'function linux {\n  shift\n  echo "<<<"\n'
        '  for word in "$@"; do echo "<$word>"; done\n}\n'
    )

    def setUp(self):
        super().setUp()
        for program in ('grub-emu', 'grub-editenv', 'script'):
            if shutil.which(program) is None:
                self.skipTest(f'{program} is not there')

    def block(self, path, variables):
        subprocess.run(['grub-editenv', path, 'create'], check=True)
        for name, value in variables.items():
            subprocess.run(
                ['grub-editenv', path, 'set', f'{name}={value}'], check=True
            )

    def judged(self, cases):
        """Return the words that GRUB gives each case's kernel."""
        root = self.directory()
        parts = [self._HEAD]
        for number, (head, linux, variables) in enumerate(cases):
            path = f'{root}/{number}'
            subprocess.run(['mkdir', path], check=True)
            if variables:
                self.block(f'{path}/grubenv', variables)
            names = ('a', 'b', 'c', 'kernelopts', 'tuned_params', 'next_entry')
            parts += [f'unset {name}' for name in names]
            parts += [f'set prefix=(host){path}', head, linux]
        parts.append('exit\n')
        with open(f'{root}/grub.cfg', 'w') as stream:
            stream.write('\n'.join(parts))
        found = []
        for line in real_grub.emulated(root):
            if '<<<' in line:
                found.append([])
            elif found and line.startswith('<') and line.endswith('>'):
                found[-1].append(line[1:-1])
        shutil.rmtree(root)
        return found

    def ours(self, case):
        head, linux, variables = case
        root = self.directory()
        subprocess.run(['mkdir', '-p', f'{root}/boot/grub'], check=True)
        if variables:
            self.block(f'{root}/boot/grub/grubenv', variables)
            self.assertThat(grubenv.read(Tree(root)), Equals(variables))
        with open(f'{root}/{_MENU}', 'w') as stream:
            stream.write(f'{head}\nmenuentry x {{\n  {linux}\n}}\n')
        (entry,) = grub_menu.read(Tree(root), _MENU).kernels()
        shutil.rmtree(root)
        self.assertThat(entry.unknown, Equals(()))
        return entry.arguments

    def test_our_reading_of_the_menu(self):
        for start in range(0, self.COUNT, _BATCH):
            seeds = range(start, min(start + _BATCH, self.COUNT))
            cases = [grub_settings.menu(random.Random(s)) for s in seeds]
            real = self.judged(cases)
            self.assertThat(len(real), Equals(len(cases)))
            for seed, case, words in zip(seeds, cases, real, strict=True):
                wanted = ' '.join(
                    f'"{word}"' if ' ' in word else word for word in words
                )
                self.assertThat(
                    self.ours(case), Equals(wanted), f'{seed}: {case}'
                )
