"""The lab node: started, saved, restored, and talked to."""

from collections.abc import Callable, Sequence
import contextlib
import os
from pathlib import Path
import shlex
import shutil
import signal
import socket
import subprocess
import time
from typing import IO

from tools.lab import machine
from tools.lab.image import HOST, Image, tool
from tools.lab.machine import PLAIN, Hardware
from tools.lab.places import (
    HERE,
    LabError,
    digest,
    folder,
    is_made,
    made,
    say,
    unmade,
)
from tools.lab.qmp import Qmp

#: Seconds until a cold boot must answer. It takes 30 to 60 on two idle CPUs;
#: some boots under TCG hang for ever, so that there are several tries.
BOOT_DEADLINE = 240
BOOT_TRIES = 4
#: Seconds until systemd says its first word on the console; it takes about 14.
CONSOLE_DEADLINE = 90
#: Seconds until a restored node must answer; it takes about 3.
RESTORE_DEADLINE = 60
RESTORE_TRIES = 3
SAVE_DEADLINE = 120

# Whatever is slow the first time, before the memory is saved: ssh answers
# before kvm is loaded, libvirt asks QEMU what it can, Python reads its files.
_WARM = """
set -e
udevadm settle --timeout=60
modprobe -q kvm_amd || modprobe -q kvm_intel
modprobe -a vhost_net macvtap vfio_pci
test -c /dev/kvm
virsh -q capabilities >/dev/null
virsh -q domcapabilities --virttype kvm >/dev/null
python3 -c 'import lxml.etree, cliff.app, oslo_config.cfg, rich.console, \
  libvirt, testtools, fixtures, subunit.run'
mkdir -p /boot/grub
update-grub >/dev/null 2>&1
sync
"""

# As tools/lab/machine.py names it.
_CONSOLE = 'serial.log'
_GRUB_MENU = '/boot/grub/grub.cfg'


class Node:
    """A node of this lab. Its files are in the folder of its name.

    :ivar image: what it is started from
    :ivar hardware: what it is; the golden state is one of both
    """

    def __init__(
        self,
        name: str = 'node',
        image: Image = HOST,
        hardware: Hardware = PLAIN,
    ) -> None:
        self.place = folder() / name
        self.image = image
        self.hardware = hardware
        self._process: subprocess.Popen[bytes] | None = None

    # Its life

    def start(self) -> None:
        """Restore the node, from a golden state that is made if needed.

        :raises LabError: it does not answer, in several tries.
        """
        self.make_golden()
        self._try('restore', RESTORE_TRIES, self._restore)

    def boot(self) -> None:
        """Boot the node cold, on a new disk.

        :raises LabError: it does not answer, in several tries.
        """
        self.image.build()
        self._try('cold boot', BOOT_TRIES, self._boot)

    def reboot(self) -> None:
        """Shut the node down and boot it cold, with the disk it has.

        :raises LabError: it does not come back, in several tries.
        """
        before = self.boot_id()
        arguments = self.next_arguments()
        with contextlib.suppress(LabError):
            self.run('systemctl poweroff', timeout=60)
        self._wait_for_end(120)

        def again() -> None:
            self._launch((), arguments)
            self._wait_for_boot()

        self._try('reboot', BOOT_TRIES, again)
        if self.boot_id() == before:
            raise LabError('the node did not reboot')

    def next_arguments(self) -> str:
        """Return the kernel arguments of the first entry of GRUB's menu: the
        kernel comes from outside, so that GRUB itself never runs.
        """
        line = self.run(f'grep -m 1 -E "^\\s+linux\\s" {_GRUB_MENU} || true')
        # The command, the kernel, its root and how that is mounted.
        return ' '.join(
            word
            for word in line.split()[2:]
            if word not in ('ro', 'rw') and not word.startswith('root=')
        )

    def boot_id(self) -> str:
        """Return what differs after a reboot."""
        return self.run('cat /proc/sys/kernel/random/boot_id').strip()

    def make_golden(self) -> None:
        """Save the state that :meth:`start` begins with, unless it is there.

        :raises LabError: the node does not boot.
        """
        if self.is_golden():
            return
        golden = self._golden
        self.boot()
        unmade(golden)
        shutil.rmtree(golden, ignore_errors=True)
        golden.mkdir()
        begun = time.monotonic()
        self.warm()
        with self._qmp() as qmp:
            qmp.call('stop')
            memory = golden / 'memory'
            qmp.call('migrate', uri=f'file:{memory}')
            qmp.wait_for_migration(SAVE_DEADLINE)
        self.stop()
        shutil.move(self.place / 'root.qcow2', golden / 'root.qcow2')
        made(golden, self._golden_stamp())
        say(f'golden state saved in {time.monotonic() - begun:.0f} s')

    def is_golden(self) -> bool:
        """Return whether :meth:`start` has a state to begin with."""
        return is_made(self._golden, self._golden_stamp())

    def _golden_stamp(self) -> str:
        return digest(
            [self.image.stamp(), HERE / 'machine.py', _WARM,
             str(machine.has_nested_kvm()), repr(self.hardware)]
        )  # fmt: skip

    def warm(self) -> None:
        """Do once what is slow the first time.

        :raises LabError: the node cannot run guests.
        """
        self.run(_WARM, timeout=300)

    def stop(self) -> None:
        """End the node at once, if it runs."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(LabError, OSError), self._qmp(5) as qmp:
            qmp.call('quit')
        with contextlib.suppress(LabError):
            self._wait_for_end(10)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._wait_for_end(10)

    def pid(self) -> int | None:
        """Return QEMU's process; None without one."""
        try:
            pid = int((self.place / 'pid').read_text())
            words = Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
            state = Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2]
        except (OSError, ValueError):
            return None
        return pid if b'labnode' in words and state[0] != 'Z' else None

    # Talking to it

    def run(
        self,
        command: str,
        timeout: float = 120,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        check: bool = True,
    ) -> str:
        """Return what a shell command prints in the node.

        :param stdout: a file that gets the output instead
        :raises LabError: it fails, or is not done in ``timeout`` seconds.
        """
        try:
            done = subprocess.run(
                [*self._ssh(), command],
                cwd=self.place,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE if stdout is None else None,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f'not done in {timeout} s: {command}') from error
        if done.returncode and check:
            words = ((done.stdout or b'') + (done.stderr or b'')).decode()
            raise LabError(f'{command} ({done.returncode}): {words[-3000:]}')
        return (done.stdout or b'').decode(errors='replace')

    def call(self, arguments: Sequence[str]) -> int:
        """Return the exit status of a command, with the caller's terminal."""
        command = shlex.join(arguments) if len(arguments) > 1 else arguments
        words = [command] if isinstance(command, str) else [*command]
        return subprocess.run(
            [*self._ssh(), *words], cwd=self.place, check=False
        ).returncode

    def send(
        self,
        source: Path,
        names: Sequence[str],
        target: str,
        compiled: bool = False,
    ) -> None:
        """Copy files and folders below ``source`` into the node's folder.

        :param compiled: Python's compiled files, too
        """
        leave = () if compiled else ('--exclude=__pycache__',)
        with subprocess.Popen(
            ['tar', '-C', str(source), '--owner=0', '--group=0', *leave,
             '-cf', '-', *names],
            stdout=subprocess.PIPE,
        ) as tar:  # fmt: skip
            place = shlex.quote(target)
            self.run(f'mkdir -p {place} && tar -C {place} -xf -',
                     stdin=tar.stdout)  # fmt: skip
        if tar.returncode:
            raise LabError(f'tar failed in {source}')

    def _ssh(self) -> list[str]:
        port = (self.place / 'port').read_text()
        # The control socket's name is relative: paths of sockets are short.
        options = (
            'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null',
            'ConnectTimeout=20', 'ControlMaster=auto', 'ControlPath=ssh.sock',
            'ControlPersist=600', 'ServerAliveInterval=30',
            'ServerAliveCountMax=6', 'LogLevel=ERROR',
        )  # fmt: skip
        return [
            'ssh', '-F', 'none', '-i', str(self.image.boot / 'id_lab'),
            '-p', port, *(word for each in options for word in ('-o', each)),
            'root@127.0.0.1',
        ]  # fmt: skip

    # Starting it

    def _try(
        self, what: str, tries: int, attempt: Callable[[], object]
    ) -> None:
        for number in range(1, tries + 1):
            begun = time.monotonic()
            try:
                attempt()
            except (LabError, OSError) as error:
                self.stop()
                say(f'{what}, try {number} of {tries}: {error}')
                if number == tries:
                    raise LabError(
                        f'{what} failed {tries} times; the console is in '
                        f'{self.place / _CONSOLE}'
                    ) from error
            else:
                say(f'{what}: {time.monotonic() - begun:.1f} s')
                return

    def _boot(self) -> None:
        self._new_disks(self.image.boot / 'root.img', 'raw')
        self._launch(())
        self._wait_for_boot()

    @property
    def _golden(self) -> Path:
        return self.image.place / 'golden'

    def _restore(self) -> None:
        golden = self._golden
        self._new_disks(golden / 'root.qcow2', 'qcow2')
        self._launch(('-incoming', 'defer'))
        with self._qmp() as qmp:
            qmp.call('migrate-incoming', uri=f'file:{golden / "memory"}')
            qmp.wait_for_migration(RESTORE_DEADLINE)
            qmp.call('cont')
            # An NVMe disk cannot be saved, so it comes after.
            qmp.monitor(
                'drive_add 0 if=none,id=d3,file=nvme1.img,format=raw,'
                'cache=unsafe'
            )
            qmp.call('device_add', driver='nvme', id='nvme1', bus='rp11',
                     serial='labnvme1', drive='d3')  # fmt: skip
        self._wait_for_ssh(RESTORE_DEADLINE)
        self.run(f'date -s @{time.time():.0f}')

    def _new_disks(self, base: Path, form: str) -> None:
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        tool(
            *self.image.program('qemu-img'), 'create', '-q', '-f', 'qcow2',
            '-F', form, '-b', str(base), str(self.place / 'root.qcow2'),
        )  # fmt: skip
        for name in machine.DISKS:
            with open(self.place / name, 'wb') as disk:
                disk.truncate(machine.DISK_BYTES)

    def _launch(self, more: Sequence[str], kernel_args: str = '') -> None:
        self.stop()
        for name in ('qmp.sock', 'ssh.sock', 'serial.sock', _CONSOLE, 'pid'):
            (self.place / name).unlink(missing_ok=True)
        port = _free_port()
        (self.place / 'port').write_text(str(port))
        root = self.image.root
        share = root / 'usr/share'
        command = [
            *self.image.program('qemu-system-x86_64'),
            *('-L', str(share / 'qemu'), '-L', str(share / 'seabios')),
            *('-L', str(root / 'usr/lib/ipxe/qemu')),
            *machine.arguments(
                self.hardware, self.image.boot, self.place, port,
                machine.has_nested_kvm(), kernel_args,
            ),
            *more,
        ]  # fmt: skip
        modules = root / 'usr/lib/x86_64-linux-gnu/qemu'
        with open(self.place / 'qemu.log', 'ab') as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, 'QEMU_MODULE_DIR': str(modules)},
            )
        (self.place / 'pid').write_text(str(self._process.pid))
        end = time.monotonic() + 30
        while not (self.place / 'qmp.sock').exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise LabError('QEMU does not start: ' + self._log())
            time.sleep(0.05)

    def _log(self) -> str:
        return (self.place / 'qemu.log').read_text(errors='replace')[-1000:]

    def _qmp(self, timeout: float = 30) -> Qmp:
        return Qmp(self.place / 'qmp.sock', timeout)

    def _wait_for_boot(self) -> None:
        console = self.place / _CONSOLE
        end = time.monotonic() + CONSOLE_DEADLINE
        while not (console.exists() and console.stat().st_size):
            if self.pid() is None or time.monotonic() > end:
                raise LabError(f'the console is mute: {self._log()}')
            time.sleep(0.3)
        self._wait_for_ssh(BOOT_DEADLINE)

    def _wait_for_ssh(self, deadline: float) -> None:
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if self.pid() is None:
                raise LabError('QEMU is gone: ' + self._log())
            with contextlib.suppress(LabError):
                self.run('true', timeout=5)
                return
            time.sleep(0.3)
        raise LabError(f'no answer after {deadline} s')

    def _wait_for_end(self, deadline: float) -> None:
        end = time.monotonic() + deadline
        while self.pid() is not None:
            if time.monotonic() > end:
                raise LabError(f'QEMU did not end in {deadline} s')
            if self._process is not None:
                self._process.poll()
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])
