"""What completes a command line, and the scripts that ask for it."""

import contextlib
import os
import shutil
import subprocess

import fixtures
import testtools
from testtools.matchers import Contains, Equals, Not

from kvm_tuning import loader
from kvm_tuning.cmd import complete
from tests.fixtures.domain_store import DomainStore
from tests.unit.cmd.base import CommandTest


class CompleteTest(CommandTest):
    def words(self, line):
        done = self.run_command('complete', '--line', line)
        self.assertThat((done.status, done.stderr), Equals((0, '')))
        return done.stdout.splitlines()

    def test_commands(self):
        self.assertThat(self.words('kvm-tuning'), Contains('guest'))
        self.assertThat(self.words('kvm-tuning '), Contains('guest'))
        self.assertThat(self.words('kvm-tuning gu'), Equals(['guest']))
        self.assertThat(self.words('kvm-tuning guest t'), Equals(['tune']))
        self.assertThat(
            self.words('kvm-tuning host hooks '),
            Equals(['install', 'remove']),
        )

    def test_options_and_their_choices(self):
        self.assertThat(
            self.words('kvm-tuning guest tune --pl'), Equals(['--plan'])
        )
        self.assertThat(
            self.words('kvm-tuning guest audit web1 --fail-on '),
            Equals(['error', 'warning']),
        )
        self.assertThat(self.words('kvm-tuning --verb'), Equals(['--verbose']))

    def test_options_of_the_program_come_first(self):
        self.assertThat(
            self.words('kvm-tuning -v --config-file /x.conf knob l'),
            Equals(['list']),
        )

    def test_behind_another_program(self):
        self.assertThat(
            self.words('sudo -E /usr/bin/kvm-tuning knob l'), Equals(['list'])
        )

    def test_a_value_that_only_the_shell_knows(self):
        self.assertThat(
            self.words('kvm-tuning guest tune --flavor '), Equals([])
        )

    def test_positional_choices(self):
        self.assertThat(
            self.words('kvm-tuning schema c'),
            Equals(['cloud-init', 'configuration']),
        )
        self.assertThat(
            self.words('kvm-tuning schema flavor '), Not(Contains('image'))
        )

    def test_knobs(self):
        found = self.words('kvm-tuning knob show kvm:')
        self.assertThat(
            set(found),
            Equals(
                {
                    name
                    for name in loader.knobs(loader.load())
                    if name.startswith('kvm:')
                }
            ),
        )

    def test_guests_that_are_not_named_yet(self):
        store = DomainStore(self.folder)
        for name in ('web1', 'web2', 'db'):
            store.add(name)
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.connection.open',
                lambda *_words, **_more: contextlib.nullcontext(store),
            )
        )
        self.assertThat(
            self.words('kvm-tuning guest start web1 w'), Equals(['web2'])
        )
        self.assertThat(
            self.words('kvm-tuning guest plan --domain '),
            Equals(['db', 'web1', 'web2']),
        )

    def test_no_libvirt_is_no_error(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'kvm_tuning.adapters.connection._module', self.missing
            )
        )
        self.assertThat(self.words('kvm-tuning guest start w'), Equals([]))

    @staticmethod
    def missing():
        from kvm_tuning.core.exceptions import LibvirtFailed

        raise LibvirtFailed('not there')

    def test_what_is_not_a_command(self):
        done = self.run_command('complete', '--line', 'kvm-tuning eat x ')
        self.assertThat(done.stdout, Equals(''))
        self.assertThat(done.status, Equals(0))

    def test_an_open_quote(self):
        self.assertThat(
            self.words("kvm-tuning guest tune --flavor 'a b"), Equals([])
        )


class ScriptTest(CommandTest):
    def test_each_shell_has_one(self):
        for shell in ('bash', 'fish', 'zsh'):
            done = self.run_command('complete', '--shell', shell)
            self.assertThat(done.stdout, Equals(complete.SCRIPTS[shell]))
            self.assertThat(
                done.stdout, Contains('kvm-tuning complete --line')
            )

    @testtools.skipUnless(shutil.which('bash'), 'no bash')
    def test_bash(self):
        program = self.write(
            'kvm-tuning',
            '#!/bin/sh\necho "$3" >&3\n'
            'echo kvm:disk_io\necho kvm:disk_cache\n',
        )
        os.chmod(program, 0o755)
        script = self.write('script', complete.SCRIPTS['bash'])
        for breaks, found in ((':', 'disk'), ('=', 'kvm:disk')):
            done = subprocess.run(
                [
                    'bash', '--norc', '-c',
                    f'exec 3>{self.folder}/asked; source {script}; '
                    f'COMP_WORDBREAKS="{breaks}"; '
                    'COMP_LINE="kvm-tuning knob show kvm:d -f json"; '
                    'COMP_POINT=26; _kvm_tuning; '
                    'printf "%s\\n" "${COMPREPLY[@]}"',
                ],
                env={'PATH': f'{self.folder}:/usr/bin:/bin'},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )  # fmt: skip
            self.assertThat(
                done.stdout.split(), Equals([f'{found}_io', f'{found}_cache'])
            )
            with open(f'{self.folder}/asked') as file:
                self.assertThat(
                    file.read(), Equals('kvm-tuning knob show kvm:d\n')
                )
