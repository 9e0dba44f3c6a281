"""Record what a release writes to a host and to guests' definitions.

The release's own code writes everything, on hosts that ``tests.fixtures`` of
that release build.
"""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
from typing import Any
from unittest import mock

import yaml

from kvm_tuning import conf, loader
from kvm_tuning.adapters import standalone, starting
from kvm_tuning.cmd import host_session
from kvm_tuning.core import request
from kvm_tuning.core.documents import Flavor, Image
from tests.fixtures import fake_vfs, prepared, whole_host
from tests.fixtures.command import Command
from tests.fixtures.domain_store import DomainStore
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.fixtures.fake_kernel import FakeKernel
from tools.recordings import commands, surface

#: Points of the run at which an apply and an undo are killed, as by SIGKILL:
#: behind the first writes of each.
KILLED_AT = {'apply': 60, 'undo': 30}
#: Who writes VFs' attributes; 2c9a36f calls it otherwise.
_load: Any = surface.first(
    'kvm_tuning.host.configuration', 'kvm_tuning.conf'
).load
_WRITER: Any = getattr(fake_vfs, 'FakeWriter', None) or getattr(
    fake_vfs, 'FakeHands', None
)


class _Strings(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


_Strings.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        'tag:yaml.org,2002:str', text, style='|' if '\n' in text else None
    ),
)


def dump(path: Path, document: Any) -> None:
    """Write a document that a person can read."""
    with path.open('w') as stream:
        yaml.dump(document, stream, _Strings, sort_keys=False, width=79)


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """Yield an empty folder that is removed afterwards."""
    folder = tempfile.mkdtemp()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def changed(root: str, before: dict[str, str]) -> dict[str, Any]:
    """Return the files below a root that were changed: text, link's target
    behind ``->``, or null for one that is gone; with its mode where it is
    not one that everybody may read.
    """
    found: dict[str, Any] = {}
    now = prepared.snapshot(root)
    for path, (text, _old) in prepared.differences(now, before).items():
        found[path] = text
        full = os.path.join(root, path)
        if text is not None and not os.path.islink(full):
            mode = os.stat(full).st_mode & 0o777
            if mode != 0o644:
                found[path] = {'mode': f'{mode:04o}', 'text': text}
    return found


def command(root: str, kernel: FakeKernel, *words: str) -> int:
    """Run a command of the release on a tree; return its exit status."""
    runner = Command()
    runner.setUp()
    with (
        mock.patch.object(host_session, 'ROOT', root),
        mock.patch.object(host_session, 'system', lambda _root: kernel),
    ):
        done = runner.run(*words)
    runner.cleanUp()
    if done.status not in (0, 1, 4):
        raise SystemExit(f'{words}: {done}')
    return int(done.status)


def killed(root: str, point: int, *words: str) -> None:
    """Run a command that dies at a point."""
    child = os.fork()
    if child == 0:
        try:
            command(root, FakeKernel(root, kill_at=point), *words)
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 9:
        raise SystemExit(f'{words} ended with {status}, not killed')


def host(folder: Path) -> None:
    """Record a prepared host: its files that differ from an unprepared one,
    whole, and of interrupted runs.
    """
    configuration = (folder / 'kvm-tuning.conf').read_text()
    with scratch() as root:
        kernel = whole_host.build(root, configuration)
        before = prepared.snapshot(root)

        def save(name: str) -> None:
            dump(folder / f'host-{name}.yaml', changed(root, before))

        def start() -> FakeKernel:
            shutil.rmtree(root)
            os.mkdir(root)
            return whole_host.build(root, configuration)

        command(root, kernel, 'host', 'apply')
        save('applied')
        killed(root, KILLED_AT['undo'], 'host', 'undo')
        save('undo-killed')
        start()
        killed(root, KILLED_AT['apply'], 'host', 'apply')
        save('apply-killed')


def installed(folder: Path) -> None:
    """Record the files that the release installs on a host."""
    with scratch() as root:
        kernel = whole_host.build(root)
        for name in ('sys', 'proc'):
            shutil.rmtree(f'{root}/{name}')
        before = prepared.snapshot(root)
        runner = Command()
        runner.setUp()
        runner.run('host', 'hooks', 'install', '--root', root)
        runner.cleanUp()
        del kernel
        found = changed(root, before)
    # The commands' own place is that of the machine that records.
    program = shutil.which('kvm-tuning') or 'kvm-tuning'
    place = 'etc/systemd/system/kvm-tuning-reconcile.service'
    found[place] = found[place].replace(program, '/usr/bin/kvm-tuning')
    checkout = Path(conf.__file__).parents[2]
    etc = checkout / 'etc/kvm_tuning'
    for source, target in (
        ('systemd/kvm-tuning-host-prep.service', 'etc/systemd/system'),
        ('systemd/kvm-tuning-host-prep-device.service', 'etc/systemd/system'),
        ('systemd/ready.conf', 'etc/systemd/system/nova-compute.service.d'),
        ('udev/99-kvm-tuning-host-prep.rules', 'etc/udev/rules.d'),
        ('rootwrap.d/kvm-tuning.filters', 'etc/nova/rootwrap.d'),
    ):
        path = etc / source
        found[f'{target}/{path.name}'] = path.read_text()
    dump(folder / 'installed.yaml', dict(sorted(found.items())))


def configuration(folder: Path) -> None:
    """Record what the release reads from ``kvm-tuning.conf``."""
    path = folder / 'kvm-tuning.conf'
    with scratch() as root:
        read = _load(root, [str(path)])
    found = {
        group: {option.name: read[group][option.name] for option in options}
        for group, options in surface.listed('kvm_tuning')
    }
    unset = [
        f'[{group}] {name}'
        for group, values in found.items()
        for name, value in values.items()
        if value is None
    ]
    if unset:
        raise SystemExit(f'{path} lacks {unset}')
    dump(folder / 'configuration.yaml', found)


def fake_host(document: dict[str, Any]) -> FakeHost:
    """Return the host of ``guests.yaml``."""
    pfs = tuple(FakePf(**pf) for pf in document.pop('pfs'))
    return FakeHost(pfs=pfs, **document)


def guests(folder: Path) -> None:
    """Record domains with receipts, the VFs' journal and the queue."""
    plan = yaml.safe_load((folder / 'guests.yaml').read_text())
    knobs = loader.knobs(loader.load())
    with scratch() as root, scratch() as store_folder, scratch() as locks:
        fake_host(plan['host']).write(root)
        path = os.path.join(locks, 'c.conf')
        Path(path).write_text(
            plan['configuration'] + f'[libvirt]\nlock_path = {locks}\n'
        )
        settings = _load(root, [path])
        store = DomainStore(store_folder)
        vfs = [(pf, i) for pf, n in plan['vfs'].items() for i in range(n)]
        writer = _WRITER(*vfs, root=root)
        for pid, (name, guest) in enumerate(plan['guests'].items(), 90):
            store.add(name, **guest['size'])
            place = Path(store_folder) / f'{name}.xml'
            text = place.read_text()
            for old, new in guest.get('edits', {}).items():
                assert old in text, old
                text = text.replace(old, new)
            place.write_text(text)
            shutil.copy(place, folder / 'guests' / f'{name}-before.xml')
            size = guest['size']
            flavor = Flavor(
                name,
                name,
                size['vcpus'],
                size['memory_mib'],
                0,
                guest['specs'],
            )
            image = guest.get('image')
            asked = request.read(
                flavor,
                image and Image('image', 'image', image),
                knobs,
                defaults=guest.get('defaults', {}),
            )
            standalone.tune(store, settings, loader.load(), asked, name, root)
            shutil.copy(place, folder / 'guests' / f'{name}-tuned.xml')
            if guest.get('running'):
                uuid = store.record(name).uuid
                fake_vfs.add_process(root, 10 * pid, uuid, '0-15', ['0-15'])
                starting.start(store, settings, name, root, writer)
        journal = Path(root) / 'var/lib/kvm-tuning/vf-attributes.json'
        shutil.copy(journal, folder / 'vf-attributes.json')


def queue(folder: Path) -> None:
    """Record what the installed hook script writes for libvirt's calls."""
    texts = yaml.safe_load((folder / 'installed.yaml').read_text())
    script = texts['etc/libvirt/hooks/qemu.d/kvm-tuning']['text']
    found = []
    with scratch() as where:
        script = script.replace('/run/kvm-tuning', where)
        for guest, operation in (
            ('plain', 'prepare'),
            ('macvtap', 'started'),
            ('gone', 'release'),
            ('plain', 'migrate'),
        ):
            subprocess.run(
                ['sh', '-c', script, 'sh', guest, operation, 'begin', '-'],
                check=True,
            )
            for path in Path(where, 'queue').iterdir():
                found.append(path.read_text())
                path.unlink()
    dump(folder / 'queue.yaml', found)


def record(folder: Path) -> None:
    """Write all recordings into a folder that has their inputs."""
    (folder / 'guests').mkdir(exist_ok=True)
    configuration(folder)
    host(folder)
    installed(folder)
    guests(folder)
    queue(folder)
    dump(folder / 'surface.yaml', surface.collect())
    with scratch() as where:
        dump(folder / 'commands.yaml', commands.collect(Path(where)))
    (folder / 'kvm-tuning.conf.sample').write_text(surface.sample())
