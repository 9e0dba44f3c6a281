"""What a command of kvm-tuning changes, as the kernel sees it."""

import os
import re
import subprocess

from tests.lab.base import LabTest

#: What makes or changes a file or a name, or talks to somebody.
CALLS = (
    'open', 'openat', 'openat2', 'creat', 'truncate', 'ftruncate', 'rename',
    'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat',
    'unlink', 'unlinkat', 'mkdir', 'mkdirat', 'rmdir', 'mknod', 'mknodat',
    'chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'fchownat', 'lchown',
    'setxattr', 'utimensat', 'mount', 'init_module', 'finit_module',
    'delete_module', 'ioctl', 'connect', 'kill', 'sched_setaffinity',
    'setsockopt', 'reboot',
)  # fmt: skip

_OPEN = re.compile(r'\bopen(?:at2?)?\(')
_FOR_WRITING = re.compile(r'O_(WRONLY|RDWR|CREAT|TRUNC)')
# A file is asked whether it is a terminal, and that for its size; a port for
# its permanent MAC, the one thing that is asked of ethtool.
_HARMLESS = re.compile(
    r'\bioctl\(\d+(<[^>]*>)?, (TCGETS2?|TIOCGWINSZ|FIOCLEX|SIOCETHTOOL)'
    r'|"/dev/null"'
)
#: Of the entry points that are installed, written by stevedore.
CACHE = '/.cache/python-entrypoints'


class TraceTest(LabTest):
    """A test that looks at the system calls of a command."""

    def changes(self, *argv, status=0):
        """Return the system calls of a command that change something."""
        trace = self.folder / 'trace'
        done = self._run(
            [
                'strace', '-f', '--seccomp-bpf', '-o', str(trace),
                '-e', f'trace={",".join(CALLS)}', '-e', 'signal=none',
                *argv,
            ]
        )  # fmt: skip
        self.assertEqual(status, done.status, done)
        lines = trace.read_text().splitlines()
        # It is seen at all: Python has opened its files.
        self.assertTrue([line for line in lines if _OPEN.search(line)])
        return [line for line in lines if _changes(line)]

    def cpu_seconds(self, *argv):
        """Return the CPU time of a command: its own and the kernel's."""
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            _pid, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(0, process.returncode)
        return used.ru_utime + used.ru_stime


def _changes(line):
    if ' = -1 ' in line or _HARMLESS.search(line) or '(' not in line:
        return False
    return not _OPEN.search(line) or bool(_FOR_WRITING.search(line))
