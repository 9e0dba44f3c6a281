"""A machine to be, as far as cloud-init and host-prep see one: a root of
Debian below a layer of its own, with a fake kernel's files.
"""

import os
from pathlib import Path
import shutil
import subprocess

import fixtures
import testtools

from tests.fixtures.fake_host import FakeHost
from tests.fixtures.fake_kernel import FakeKernel, add_memory_files

TOP = Path(__file__).resolve().parents[2]

#: Names the folder that tools/cloud_init has made.
ENVIRONMENT = 'KVM_TUNING_CLOUD_INIT'

_HOST = FakeHost(cells=1, l3_per_cell=0, cores=2, threads=2,
                 huge_pages={2048: 10})  # fmt: skip

# What systemd would do, written down. A unit is enabled by its link.
_SYSTEMCTL = """\
#!/bin/sh
echo "${0##*/} $*" >>/systemctl.log
units=/etc/systemd/system
case $1 in
enable) ln -sf "$units/$2" "$units/multi-user.target.wants/$2" ;;
is-enabled) [ "$3" = "$(cat /enabled 2>/dev/null)" ] ;;
esac
"""


def folder(name='') -> Path:
    """Return what tools/cloud_init has made.

    :raises testtools.TestCase.skipException: when it has not
    """
    path = os.environ.get(ENVIRONMENT)
    if not path or os.geteuid():
        raise testtools.TestCase.skipException(
            f'{ENVIRONMENT} names no folder of tools/cloud_init, or this is '
            f'not root'
        )
    found = Path(path, name)
    if not found.exists():
        raise testtools.TestCase.skipException(f'there is no {found}')
    return found


class Root(fixtures.Fixture):
    """A writable root.

    :ivar path: where it is
    """

    def __init__(self, suite, *, installed=None):
        """Take the suite.

        :param installed: the upper layer of another one, below this one
        """
        super().__init__()
        self._suite = suite
        self._installed = installed

    def _setUp(self):
        lower = folder(f'root-{self._suite}')
        home = Path(self.useFixture(fixtures.TempDir(rootdir='/dev/shm')).path)
        self.upper, work, self.path = (
            home / name for name in ('upper', 'work', 'root')
        )
        for each in (self.upper, work, self.path):
            each.mkdir()
        below = [*([self._installed] if self._installed else []), lower]
        subprocess.run(
            ['mount', '-t', 'overlay', 'overlay', '-o',
             f'lowerdir={":".join(map(str, below))},upperdir={self.upper},'
             f'workdir={work}', self.path],
            check=True,
        )  # fmt: skip
        self.addCleanup(
            subprocess.run, ['umount', '--lazy', self.path], check=True
        )
        if not self._installed:
            self._furnish()

    def _furnish(self):
        _HOST.write(str(self.path))
        add_memory_files(FakeKernel(str(self.path)), '6.12.0')
        self.write('proc/sys/kernel/random/boot_id', 'boot-1\n')
        self.write('proc/uptime', '100.00 100.00\n')
        self.write('proc/cmdline', 'root=/dev/vda\n')
        self.write('etc/kernel/cmdline', 'root=/dev/vda\n')
        self.write(
            'boot/loader/entries/abc.conf',
            'title Debian\nlinux /vmlinuz\noptions root=/dev/vda\n',
        )
        for name in ('systemctl', 'systemd-run'):
            (self.path / 'usr/bin' / name).unlink(missing_ok=True)
            self.write(f'usr/bin/{name}', _SYSTEMCTL).chmod(0o755)
        wants = self.path / 'etc/systemd/system/multi-user.target.wants'
        wants.mkdir(parents=True, exist_ok=True)
        shutil.copy(
            TOP / 'cc_kvm_tuning.py',
            self.path / 'usr/lib/python3/dist-packages',
        )
        # Nothing is downloaded: pip takes what is there.
        shutil.copytree(folder(f'wheels-{self._suite}'), self.path / 'wheels')
        self.write(
            'etc/pip.conf',
            '[global]\nno-index = true\nfind-links = /wheels\n'
            'no-cache-dir = true\n',
        )
        self.write(
            'etc/cloud/cloud.cfg.d/99_test.cfg',
            'datasource_list: [NoCloud, None]\n'
            'network: {config: disabled}\n'
            'cloud_init_modules: [write-files]\n'
            'cloud_config_modules: [[kvm_tuning, always]]\n'
            'cloud_final_modules: [final-message]\n',
        )

    def write(self, name, text):
        """Write a file; return its path."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name):
        """Return a file's text; nothing when there is none."""
        path = self.path / name
        return path.read_text() if path.exists() else ''

    def run(self, *command):
        """Run a command in it; return what it has printed, and its status."""
        done = subprocess.run(
            ['chroot', self.path, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=600,
            check=False,
            env={'PATH': '/usr/local/bin:/usr/sbin:/usr/bin', 'LC_ALL': 'C'},
        )
        return done.returncode, done.stdout

    @property
    def wheel(self):
        """Return the project's wheel, as the root sees it."""
        (wheel,) = (self.path / 'wheels').glob('kvm_tuning-*.whl')
        return f'/wheels/{wheel.name}'
