"""What tools/test.sh and tools/quickstart.sh do before anything else."""

import os
from pathlib import Path
import subprocess

import fixtures
import testtools

ROOT = Path(__file__).parents[2]


class SetupTest(testtools.TestCase):
    """The functions of tools/lib/setup.sh, in a folder as the checkout."""

    def setUp(self):
        super().setUp()
        self.top = Path(self.useFixture(fixtures.TempDir()).path)

    def run_setup(self, script, **environment):
        kept = {k: v for k, v in os.environ.items() if k != 'KVM_TUNING_VENV'}
        return subprocess.run(
            ['bash', '-euc', f'top=$1; . {ROOT}/tools/lib/setup.sh; {script}']
            + ['setup', str(self.top)],
            capture_output=True,
            text=True,
            env={**kept, **environment},
        )

    def venv(self, **environment):
        done = self.run_setup('echo "$venv"', **environment)
        self.assertEqual('', done.stderr)
        return done.stdout.strip()

    def test_the_environment_is_in_the_checkout(self):
        self.assertEqual(f'{self.top}/.venv', self.venv())
        (self.top / '.venv').mkdir()
        self.assertEqual(f'{self.top}/.venv', self.venv())

    def test_a_redirect_file_stays_and_is_not_followed(self):
        redirect = self.top / '.venv'
        redirect.write_text('.tox/py3\n')
        self.assertEqual(f'{self.top}/.cache/venv', self.venv())
        self.assertEqual('.tox/py3\n', redirect.read_text())

    def test_the_caller_chooses(self):
        (self.top / '.venv').write_text('.tox/py3\n')
        found = self.venv(KVM_TUNING_VENV=f'{self.top}/mine')
        self.assertEqual(f'{self.top}/mine', found)

    def test_a_choice_that_is_a_file_is_named(self):
        wrong = self.top / 'file'
        wrong.write_text('')
        done = self.run_setup('make_venv', KVM_TUNING_VENV=str(wrong))
        self.assertEqual(3, done.returncode)
        self.assertIn(f'KVM_TUNING_VENV is {wrong}', done.stderr)
        self.assertEqual('', wrong.read_text())
