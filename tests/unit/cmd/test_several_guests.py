"""Commands that take several guests, on a libvirt of files."""

import contextlib
import functools
import json
import os

import fixtures
from testtools.matchers import Contains, Equals, HasLength, Not

from kvm_tuning.adapters import standalone, starting
from kvm_tuning.adapters.trial.judge import Judge
from tests.fixtures.command import Command
from tests.unit.adapters.test_standalone import StoreTest

SPECS = {
    'hw:cpu_policy': 'dedicated',
    'kvm:emulator_cpus': 'housekeeping',
    'kvm:disk_cache': 'none',
    'kvm:vif_rx_ring': '512',
}


class SeveralTest(StoreTest):
    def setUp(self):
        super().setUp()
        self.command = self.useFixture(Command())
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '80'))
        for name in ('a', 'b'):
            self.store.add(name)
        for module, name in (
            (standalone, 'tune'),
            (starting, 'start'),
        ):
            patched = functools.partial(getattr(module, name), root=self.root)
            self.patch_name(f'{module.__name__}.{name}', patched)
        self.patch_name(
            'kvm_tuning.adapters.connection.open',
            lambda *_args, **_more: contextlib.nullcontext(self.store),
        )
        self.patch_name(
            'kvm_tuning.adapters.trial.judge.of_host',
            lambda *_args, **_more: contextlib.nullcontext(
                Judge(missing='as this is a test')
            ),
        )
        folder = self.useFixture(fixtures.TempDir()).path
        self.config = os.path.join(folder, 'c.conf')
        with open(self.config, 'w') as file:
            file.write(
                '[placement]\ndedicated_cpus = 1-4,6-7\nshared_cpus = 0\n'
                f'[libvirt]\nlock_path = {folder}\n'
            )
        self.flavor = os.path.join(folder, 'f.json')
        with open(self.flavor, 'w') as file:
            json.dump(
                {
                    'name': 'f', 'id': '1', 'vcpus': 2, 'ram': 256,
                    'disk': 0, 'properties': SPECS,
                },
                file,
            )  # fmt: skip

    def patch_name(self, name, value):
        self.useFixture(fixtures.MonkeyPatch(name, value))

    def guest(self, verb, *argv, status=0):
        done = self.command.run(
            '--config-file', self.config, 'guest', verb, *argv
        )
        self.assertThat(done.status, Equals(status), done.stderr)
        return done

    def tune_by_command(self, *names, status=0):
        return self.guest(
            'tune', *names, '--flavor', self.flavor, status=status
        )

    def defined(self, name):
        return self.store.record(name).defined


class TuneSeveralTest(SeveralTest):
    def test_one_guest_is_its_own_document(self):
        done = self.tune_by_command('a', '-f', 'json')
        self.assertThat(done.document['guest'], Equals('a'))
        self.assertThat(done.document['changed'], Equals(True))
        self.assertThat(done.document['plan']['flavor'], Equals('f'))

    def test_several_are_a_list(self):
        done = self.tune_by_command('a', 'b', 'a', '-f', 'json')
        changed = {
            each['guest']: each['changed'] for each in done.document['guests']
        }
        self.assertThat(changed, Equals({'a': True, 'b': True}))

    def test_all_takes_guests_that_were_not_tuned(self):
        done = self.tune_by_command('--all', '-f', 'json')
        self.assertThat(done.document['guests'], HasLength(2))

    def test_all_of_one_guest_is_a_list_too(self):
        os.remove(os.path.join(self.store.folder, 'b.xml'))
        done = self.tune_by_command('--all', '-f', 'json')
        self.assertThat(done.document['guests'], HasLength(1))

    def test_one_refusal_does_not_stop_the_others(self):
        for name in ('c', 'd'):
            self.store.add(name)
        done = self.tune_by_command('a', 'b', 'c', 'd', status=1)
        self.assertThat(done.stderr, Contains('d: Exhausted: '))
        self.assertThat(done.stdout, Contains('c: tuned'))
        self.assertThat(done.stdout, Not(Contains('d: tuned')))

    def test_a_failure_outweighs_a_refusal(self):
        for name in ('c', 'd'):
            self.store.add(name)
        done = self.tune_by_command(
            'none', 'a', 'b', 'c', 'd', '--detailed-exit-codes', '-f', 'json',
            status=3,
        )  # fmt: skip
        errors = {
            each['guest']: each['error'].partition(':')[0]
            for each in done.document['guests']
            if 'error' in each
        }
        self.assertThat(
            errors, Equals({'none': 'LibvirtFailed', 'd': 'Exhausted'})
        )

    def test_detailed_exit_codes(self):
        self.tune_by_command('a', 'b', '--detailed-exit-codes', status=4)
        self.tune_by_command('a', 'b', '--detailed-exit-codes')

    def test_neither_names_nor_all_or_both(self):
        before = self.defined('a')
        for words in ((), ('a', '--all')):
            for verb in ('undo', 'start'):
                self.guest(verb, *words, status=2)
            self.tune_by_command(*words, status=2)
        self.assertThat(self.defined('a'), Equals(before))

    def test_the_summary_is_short_and_says_what_was_set(self):
        lines = self.tune_by_command('a').stdout.splitlines()
        self.assertThat(lines[0], Equals('a: tuned'))
        self.assertThat(len(lines) <= 10, Equals(True), lines)
        text = '\n'.join(lines)
        for part in (
            'vCPUs 0-1 on pCPUs 6,7; 256 MiB (host cell 1)',
            'emulator threads on pCPUs 0',
            'disk vda: cache none',
            'NIC 52:54:00:00:00:01: rx_queue_size 512',
        ):
            self.assertThat(text, Contains(part))

    def test_the_whole_plan(self):
        text = self.tune_by_command('a', '--plan').stdout
        self.assertThat(text, Contains('Effects\n'))
        self.assertThat(text.splitlines()[-1], Equals('a: tuned'))


class UndoSeveralTest(SeveralTest):
    def test_all_takes_what_was_tuned(self):
        before = {name: self.defined(name) for name in 'ab'}
        self.tune_by_command('a')
        done = self.guest('undo', '--all', '-f', 'json')
        names = [each['guest'] for each in done.document['guests']]
        self.assertThat(names, Equals(['a']))
        self.assertThat({n: self.defined(n) for n in 'ab'}, Equals(before))

    def test_nothing_was_tuned(self):
        done = self.guest('undo', '--all')
        self.assertThat(done.stdout, Equals('no guest was tuned\n'))


class StartSeveralTest(SeveralTest):
    def test_starts_each(self):
        self.tune_by_command('a', 'b')
        self.assertThat(
            self.guest('start', 'a').stdout, Equals('a: started\n')
        )
        self.assertThat(
            self.guest('start', '--all').stdout,
            Equals('a: runs already\nb: started\n'),
        )

    def test_one_that_is_not_there_does_not_stop_the_others(self):
        done = self.guest('start', 'none', 'b', status=3)
        self.assertThat(done.stdout, Equals('b: started\n'))
        self.assertThat(done.stderr, Contains('none: LibvirtFailed'))
