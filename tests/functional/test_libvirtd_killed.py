"""SIGKILL for libvirtd, while twenty processes tune a guest each."""

import contextlib
import multiprocessing
import os
from pathlib import Path
import signal
import subprocess
import time

import fixtures
import testtools

from kvm_tuning import loader
from kvm_tuning.adapters import connection, standalone
from kvm_tuning.core import domain, request
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import LibvirtFailed
from kvm_tuning.host import configuration
from tests.fixtures import domain_store, memory_dir, tiny_guest
from tests.fixtures.fake_host import FakeHost

GUESTS = 20
HOST = FakeHost(cells=2, l3_per_cell=1, cores=24, threads=1)
#: 44 pCPUs, of which the guests take 40.
DEDICATED = '2-23,26-47'
URI = 'qemu:///system'
#: When a process kills what: at its guest's definition, by its number.
WAYS = ('', 'daemon before', 'daemon during', 'daemon after', 'itself')
#: Seconds that libvirtd, or a process, is waited for.
PATIENCE = 120


class Daemon:
    """The private libvirtd."""

    def __init__(self):
        if 'kvm-tuning-libvirtd.' not in Path('/proc/mounts').read_text():
            raise testtools.TestCase.skipException(
                'the libvirtd that answers is not one of '
                'tools/private-libvirtd --always: it is not killed'
            )
        (self.file,) = Path('/run/libvirt').glob('*d.pid')
        self.program = os.readlink(f'/proc/{self.pid}/exe')

    @property
    def pid(self):
        return int(self.file.read_text())

    def alive(self):
        try:
            text = Path(f'/proc/{self.pid}/stat').read_text()
        except (FileNotFoundError, ValueError):
            return False
        return text.rpartition(')')[2].split()[0] != 'Z'

    def kill(self):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(self.pid, signal.SIGKILL)

    def start(self):
        subprocess.run(
            [self.program, '--daemon', '--pid-file', str(self.file)],
            stderr=subprocess.DEVNULL,
            check=True,
        )


def tune(libvirt, settings, root, name):
    specs = {'hw:cpu_policy': 'dedicated', 'kvm:emulator_cpus': 'housekeeping'}
    hooks = loader.load()
    asked = request.read(
        Flavor('f', '1', 2, 256, 0, specs), None, loader.knobs(hooks)
    )
    standalone.tune(libvirt, settings, hooks, asked, name, root)


def tune_and_kill(daemon, way, settings, root, name):
    """Tune a guest, and again where libvirtd was gone."""
    pending = [way] if way else []

    def define(libvirt, *args):
        when = pending.pop() if pending else ''
        match when:
            case 'daemon before':
                daemon.kill()
            case 'daemon during':
                if os.fork() == 0:
                    daemon.kill()
                    os._exit(0)
            case 'itself':
                os.kill(os.getpid(), signal.SIGKILL)
        defining(libvirt, *args)
        if when == 'daemon after':
            daemon.kill()

    defining = connection.Connection.define
    connection.Connection.define = define
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with connection.open(URI) as libvirt:
                tune(libvirt, settings, root, name)
            return
        except LibvirtFailed:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class KilledTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.libvirt = self.useFixture(tiny_guest.Libvirt())
        self.daemon = Daemon()
        self.root = self.useFixture(fixtures.TempDir(memory_dir.place())).path
        HOST.write(self.root)
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'c.conf')
        Path(path).write_text(
            f'[placement]\ndedicated_cpus = {DEDICATED}\n'
            f'[libvirt]\nlock_path = {folder}\nlock_timeout = {PATIENCE}\n'
        )
        self.settings = configuration.load(self.root, [path])
        self.names = [f'killed{number}' for number in range(GUESTS)]
        for name in self.names:
            xml = domain_store.xml(name).replace("'kvm'", "'qemu'")
            self.libvirt.connection.defineXML(xml)
            self.addCleanup(self.undefine, name)
        self.before = self.definitions()

    def undefine(self, name):
        import libvirt

        raw = libvirt.open(URI)
        with contextlib.closing(raw):
            raw.lookupByName(name).undefine()

    def definitions(self):
        with connection.open(URI) as libvirt:
            return {
                name: libvirt.record(name, secure=True).defined
                for name in self.names
            }

    def pinned(self):
        """Return the pCPUs of the tuned guests; the others are as before."""
        found = {}
        for name, text in self.definitions().items():
            guest = domain.read(text)
            if guest.receipt is None:
                self.assertEqual(self.before[name], text)
            else:
                pins = guest.current.pins
                self.assertEqual({0, 1}, set(pins), name)
                found[name] = [min(cpus) for cpus in pins.values()]
        held = [pcpu for pcpus in found.values() for pcpu in pcpus]
        self.assertEqual(sorted(set(held)), sorted(held), found)
        return found

    def test_no_pcpu_twice_and_receipts_whole_or_undone(self):
        context = multiprocessing.get_context('fork')
        processes = [
            context.Process(
                target=tune_and_kill,
                args=(
                    self.daemon,
                    WAYS[number % len(WAYS)],
                    self.settings,
                    self.root,
                    name,
                ),
            )
            for number, name in enumerate(self.names)
        ]
        for process in processes:
            process.start()
        started = 0
        while any(process.is_alive() for process in processes):
            if not self.daemon.alive():
                self.daemon.start()
                started += 1
            time.sleep(0.05)
        if not self.daemon.alive():
            self.daemon.start()
        ends = [process.exitcode for process in processes]
        dead = [
            name
            for name, end in zip(self.names, ends, strict=True)
            if end == -signal.SIGKILL
        ]
        self.assertEqual({0, -signal.SIGKILL}, set(ends))
        self.assertEqual(GUESTS // len(WAYS), len(dead))
        self.assertGreater(started, len(WAYS))
        # Whose process died has nothing, the others what they were promised
        found = self.pinned()
        self.assertEqual(set(self.names) - set(dead), set(found))
        with connection.open(URI) as libvirt:
            for name in dead:
                tune(libvirt, self.settings, self.root, name)
            self.assertEqual(set(self.names), set(self.pinned()))
            for name in self.names:
                standalone.undo(libvirt, self.settings, name, self.root)
        self.assertEqual(self.before, self.definitions())
