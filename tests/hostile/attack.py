"""Attack kvm-tuning as the user nobody: each attempt must fail.

usage: python -m tests.hostile.attack   (as root, who is the victim)

Each attack runs in a process of the user nobody, in a directory like /run
where everybody may write; the victim then does its work as root. Prints a
line for each; exit status 1: one of them was of use.
"""

from collections.abc import Callable
import contextlib
import fcntl
import http.client
import importlib.util
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
import time

from kvm_tuning.adapters import lock
from kvm_tuning.cmd import main as application
from kvm_tuning.conf import vendordata
from kvm_tuning.core.exceptions import InventoryUnreadable, KvmTuningError
from kvm_tuning.host import configuration
from kvm_tuning.host.access import owned
from kvm_tuning.host.guests import definitions, start_queue, vhost
from kvm_tuning.host.guests.qemu_process import Processes
from kvm_tuning.wsgi import serve
from kvm_tuning.wsgi.application import Application

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


def queue_through_a_link(stage: Stage) -> str:
    """A link to root's own queue, so that another file is taken for it."""
    target = os.path.join(stage.victim, 'other')
    os.mkdir(target)
    with open(os.path.join(target, 'kept'), 'w') as file:
        file.write('not an event')
    queue = os.path.join(stage.public, 'queue')
    as_nobody(lambda: os.symlink(target, queue))
    return refused(lambda: start_queue.read(queue))


def event_in_roots_queue(stage: Stage) -> str:
    queue = os.path.join(stage.victim, 'queue')
    os.mkdir(queue, 0o700)

    def write() -> None:
        with open(os.path.join(queue, 'event'), 'w') as file:
            file.write('web\nprepare\n')

    return '' if start_queue.read(queue) else as_nobody(write)


def definition_that_a_link_leads_to(stage: Stage) -> str:
    """A guest of nobody's own among libvirt's, which would own VFs."""
    root = os.path.join(stage.victim, 'root')
    mine = os.path.join(stage.public, 'mine')
    os.makedirs(os.path.join(root, 'run/libvirt'))

    def write() -> None:
        os.mkdir(mine)
        with open(os.path.join(mine, 'web.xml'), 'w') as file:
            file.write(f'<domstatus><domain><name>web</name><uuid>{UUID}'
                       '</uuid></domain></domstatus>')  # fmt: skip

    as_nobody(write)
    os.symlink(mine, os.path.join(root, 'run/libvirt/qemu'))
    return refused(lambda: definitions.read(root))


def configuration_through_a_link(stage: Stage) -> str:
    """Root's file in root's directory, which is a link to nobody's."""
    mine = os.path.join(stage.public, 'mine')

    def write() -> None:
        os.mkdir(mine)
        with open(os.path.join(mine, 'c.conf'), 'w') as file:
            file.write('[ksm]\nrun = true\n')

    as_nobody(write)
    link = os.path.join(stage.victim, 'conf')
    os.symlink(mine, link)
    return refused(lambda: owned.check(os.path.join(link, 'c.conf')))


def slow_clients_of_vendordata(stage: Stage) -> str:
    """200 connections that send nothing, half a header or half a body."""
    if importlib.util.find_spec('waitress') is None:
        return 'waitress is not installed, nothing is served'
    path = os.path.join(stage.victim, 'v.conf')
    with open(path, 'w') as file:
        file.write('[vendordata]\nlisten = 127.0.0.1:0\nbody_timeout = 30\n')
    group = vendordata.load([path])[vendordata.GROUP]
    server = serve.server(Application(lambda _s: (), None, 1024, 5.0), group)
    address = '127.0.0.1', int(server.effective_port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    clients = []
    slowest = 0.0
    head = b'POST / HTTP/1.1\r\nHost: x\r\n'
    try:
        for sent in (b'', head, head + b'Content-Length: 900\r\n\r\n{"inst'):
            for _number in range(200):
                clients.append(socket.create_connection(address, 10))
                clients[-1].sendall(sent)
            # Who else uses the machine delays anybody: the best of three
            slowest = max(slowest, min(_honest(address) for _time in range(3)))
    finally:
        for client in clients:
            client.close()
        server.close()
        thread.join(10)
    return f'{slowest:.2f} s at most' if slowest <= 1 else ''


def _honest(address: tuple[str, int]) -> float:
    """Return the seconds of a request; what is too long without an answer."""
    start = time.monotonic()
    client = http.client.HTTPConnection(*address, timeout=10)
    with contextlib.closing(client):
        client.request('POST', '/', json.dumps({'instance-id': UUID}))
        good = client.getresponse().status == 200
    return time.monotonic() - start if good else 10.0


ATTACKS = (
    lock_made_first,
    lock_through_a_link,
    former_lock_made_first,
    lock_held_for_ever,
    lock_taken_away,
    queue_of_a_stranger,
    queue_through_a_link,
    event_in_roots_queue,
    qemu_by_its_arguments,
    vhost_by_its_name,
    definition_that_a_link_leads_to,
    configuration_of_a_stranger,
    configuration_through_a_link,
    journal_through_a_link,
    slow_clients_of_vendordata,
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
