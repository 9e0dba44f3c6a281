"""Attack kvm-tuning as the user nobody: each attempt must fail.

usage: python -m tests.hostile.attack   (as root, who is the victim)

Each attack runs in a process of the user nobody, in a directory like /run
where everybody may write; the victim then does its work as root. Prints a
line for each; exit status 1: one of them was of use.
"""

from collections.abc import Callable
import contextlib
import fcntl
import os
import pwd
import subprocess
import sys
import tempfile
import time

from kvm_tuning.adapters import lock
from kvm_tuning.cmd import main as application
from kvm_tuning.core.exceptions import InventoryUnreadable, KvmTuningError
from kvm_tuning.host import configuration
from kvm_tuning.host.access import owned
from kvm_tuning.host.guests import start_queue, vhost
from kvm_tuning.host.guests.qemu_process import Processes

NOBODY = pwd.getpwnam('nobody').pw_uid
UUID = 'deadbeef-0000-4000-8000-000000000001'


class Stage:
    """A place that everybody may write to, and one of root's in it."""

    def __init__(self, folder: str) -> None:
        self.public = os.path.join(folder, 'public')
        os.mkdir(self.public)
        os.chmod(self.public, 0o1777)
        os.chmod(folder, 0o755)
        self.locks = os.path.join(self.public, 'kvm-tuning')
        self.victim = os.path.join(folder, 'victim')
        os.mkdir(self.victim)

    def conf(self, path: str) -> object:
        file = os.path.join(self.victim, 'c.conf')
        with open(file, 'w') as stream:
            stream.write(f'[libvirt]\nlock_path = {path}\nlock_timeout = 1\n')
        return configuration.load('/', [file])


def as_nobody(act: Callable[[], object]) -> str:
    """Run ``act`` as nobody; return the error it met, or ''."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = b''
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            act()
        except BaseException as error:
            text = f'{type(error).__name__}: {error}'.encode()
        os.write(writer, text)
        os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        found = stream.read()
    os.waitpid(child, 0)
    return found


def refused(act: Callable[[], object]) -> str:
    """Return the refusal of the victim; '' where it went along."""
    try:
        act()
    except (KvmTuningError, OSError) as error:
        return str(error)
    return ''


def hold(conf: object) -> None:
    with lock.held(conf):
        pass


def lock_made_first(stage: Stage) -> str:
    as_nobody(lambda: os.mkdir(stage.locks))
    return refused(lambda: hold(stage.conf(stage.locks)))


def lock_through_a_link(stage: Stage) -> str:
    as_nobody(lambda: os.symlink(stage.victim, stage.locks))
    why = refused(lambda: hold(stage.conf(stage.locks)))
    return '' if 'guests.lock' in os.listdir(stage.victim) else why


def former_lock_made_first(stage: Stage) -> str:
    as_nobody(lambda: os.symlink(stage.victim, stage.locks))
    lock._FORMER_PATH, lock.LOCK_PATH = stage.locks, stage.victim
    hold(stage.conf(stage.victim))
    followed = lock._FORMER_NAME in os.listdir(stage.victim)
    return '' if followed else 'the link was not followed, and root went on'


def lock_held_for_ever(stage: Stage) -> str:
    own = os.path.join(stage.victim, 'own')
    hold(stage.conf(own))

    def take() -> None:
        with open(os.path.join(own, lock.NAME)) as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    return as_nobody(take)


def lock_taken_away(stage: Stage) -> str:
    own = os.path.join(stage.victim, 'own')
    hold(stage.conf(own))
    return as_nobody(lambda: os.rename(own, f'{own}.gone'))


def queue_of_a_stranger(stage: Stage) -> str:
    queue = os.path.join(stage.public, 'queue')

    def write() -> None:
        os.mkdir(queue)
        with open(os.path.join(queue, 'event'), 'w') as file:
            file.write('web\nprepare\n')

    as_nobody(write)
    return refused(lambda: start_queue.read(queue))


@contextlib.contextmanager
def impostor(name: str = '') -> object:
    """A process of nobody with the arguments of a guest."""
    code = 'import sys,time; open("/proc/self/comm","w").write(sys.argv[1])'
    process = subprocess.Popen(
        ['/usr/bin/python3', '-c', f'{code}; time.sleep(60)', name or 'qemu',
         '-uuid', UUID, '-nographic'],
        user=NOBODY, group=NOBODY, extra_groups=[],
    )  # fmt: skip
    try:
        time.sleep(0.5)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def qemu_by_its_arguments(stage: Stage) -> str:
    with impostor():
        found = refused(lambda: Processes('/').libvirts(UUID, 'web'))
        try:
            Processes('/').claimed(UUID, 'web')
        except InventoryUnreadable:
            return found
    return ''


def vhost_by_its_name(stage: Stage) -> str:
    with impostor(f'vhost-{os.getpid()}') as pid:
        return refused(lambda: vhost.set_affinity(UUID, 'web', pid, {0}))


def configuration_of_a_stranger(stage: Stage) -> str:
    path = os.path.join(stage.public, 'mine.conf')

    def write() -> None:
        with open(path, 'w') as file:
            file.write('[ksm]\nrun = true\n')

    as_nobody(write)
    said = os.path.join(stage.victim, 'said')
    with open(said, 'w+') as errors, open(os.devnull, 'w') as output:
        status = application.Application(output, errors).run(
            ['--config-file', path, 'host', 'apply']
        )
        errors.seek(0)
        return errors.read().strip() if status == 3 else ''


def journal_through_a_link(stage: Stage) -> str:
    as_nobody(lambda: os.symlink('/etc/shadow', f'{stage.public}/journal'))
    try:
        owned.read(f'{stage.public}/journal', 1 << 20)
    except OSError as error:
        return str(error.strerror)
    return ''


ATTACKS = (
    lock_made_first,
    lock_through_a_link,
    former_lock_made_first,
    lock_held_for_ever,
    lock_taken_away,
    queue_of_a_stranger,
    qemu_by_its_arguments,
    vhost_by_its_name,
    configuration_of_a_stranger,
    journal_through_a_link,
)


def main() -> int:
    if os.geteuid():
        print('the victim is root: run this as root', file=sys.stderr)
        return 2
    bad = 0
    for attack in ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            why = attack(Stage(folder))
        bad += not why
        what = attack.__name__.replace('_', ' ')
        print(f'{"failed" if why else "SUCCEEDED":10}{what}: {why[:150]}')
    return int(bool(bad))


if __name__ == '__main__':
    sys.exit(main())
