"""The commands of a page, run as they are written.

Each is run by a shell in an environment of its own: a fresh virtual
environment with exactly what the page's own ``pip install`` puts there.
"""

import os
from pathlib import Path
import re
import subprocess
import venv

import fixtures

_BLOCK = re.compile(
    r'^( *)\.\. code-block:: console\n\n((?:\1   .*\n|\n)+)', re.M
)
_SECONDS = 900


def commands(page: Path) -> list[str]:
    """Return the commands of a page, lines that go on as one."""
    found = []
    for block in _BLOCK.findall(page.read_text()):
        text = block[1].replace('\\\n', ' ')
        found += [
            ' '.join(line.split()[1:])
            for line in text.splitlines()
            if line.lstrip().startswith(('$ ', '# '))
        ]
    return found


class Clean(fixtures.Fixture):
    """A clean environment.

    :ivar home: its folder, in which commands are run
    :ivar background: processes that were started and run on
    """

    def __init__(self, replaced, variables):
        """Take what stands in the page for what is here.

        :param replaced: texts of commands, and what is run instead
        :param variables: of the environment
        """
        super().__init__()
        self.replaced = replaced
        self.variables = variables

    def _setUp(self):
        self.home = Path(self.useFixture(fixtures.TempDir()).path)
        venv.create(self.home / 'venv', with_pip=True)
        self.background = []

    def text(self, command):
        """Return a command with what is here in it."""
        for there, here in self.replaced.items():
            command = command.replace(there, here)
        return command

    def run(self, command):
        """Run a command to its end; return its status and what it printed."""
        done = subprocess.run(
            ['bash', '-c', self.text(command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self._environment(),
            timeout=_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, command, log):
        """Start a command that does not end; what it prints goes to a log."""
        with (self.home / log).open('w') as file:
            process = subprocess.Popen(
                ['bash', '-c', f'exec {self.text(command)}'],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.home,
                env=self._environment(),
            )
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        self.background.append(process)
        return process

    def _environment(self):
        pip = {k: v for k, v in os.environ.items() if k.startswith('PIP_')}
        return {
            **pip,
            'PATH': f'{self.home}/venv/bin:/usr/bin:/bin',
            'HOME': str(self.home),
            'LC_ALL': 'C.UTF-8',
            **{k: self.text(v) for k, v in self.variables.items()},
        }
