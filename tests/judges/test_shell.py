"""The shell judges what files of assignments set."""

import random
import subprocess

import fixtures
import testtools
from testtools.matchers import Equals, GreaterThan

from kvm_tuning.host.prep.boot import shell
from tests.fixtures import grub_settings, killed

_NAMES = ('GRUB_CMDLINE_LINUX', 'GRUB_CMDLINE_LINUX_DEFAULT')
_SCRIPT = (
    'set -e; . ./file; printf "%s\\0" "$GRUB_CMDLINE_LINUX" "${}"'.format(
        '{GRUB_CMDLINE_LINUX_DEFAULT}'
    )
)


def _ours(text):
    """Return what we read; None: not understood, or not known."""
    values = dict.fromkeys(_NAMES, '')
    try:
        for each in shell.assignments(text, values):
            values[each.name] = each.value
    except shell.NotUnderstood:
        return None
    found = [values[name] for name in _NAMES]
    return None if None in found else found


class TestShell(testtools.TestCase):
    COUNT = 1000

    def shells(self, directory, text):
        with open(f'{directory}/file', 'w') as stream:
            stream.write(text)
        done = subprocess.run(
            ['sh', '-c', _SCRIPT],
            cwd=directory,
            env={'PATH': '/usr/bin:/bin'},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            return None
        return done.stdout.decode().split('\0')[:2]

    def test_what_is_understood_is_so(self):
        directory = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        understood = 0
        for seed in range(self.COUNT):
            text = grub_settings.text(random.Random(seed))
            ours = _ours(text)
            if ours is not None:
                understood += 1
                real = self.shells(directory, text)
                self.assertThat(ours, Equals(real), f'{seed}:\n{text}')
        self.assertThat(understood, GreaterThan(self.COUNT // 4))
