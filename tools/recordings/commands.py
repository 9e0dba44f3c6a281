"""Run the commands on the recorders' host and guests: statuses and keys.

Only what a program reads is kept: the exit status, and the keys of what
``-f json`` prints.
"""

from collections.abc import Iterator
import contextlib
import functools
import importlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

from kvm_tuning.cmd import host_session
from tests.fixtures import whole_host
from tests.fixtures.command import Command
from tests.fixtures.domain_store import DomainStore
from tests.fixtures.fake_host import FakeHost, FakePf
from tests.fixtures.fake_kernel import FakeKernel

_DEDICATED = {'hw:cpu_policy': 'dedicated', 'kvm:page_sharing': 'false'}
_FLAVORS: dict[str, dict[str, str]] = {
    'good': _DEDICATED,
    'unknown': {'kvm:no_such_knob': '1'},
    'refused': {'kvm:vfs': '64'},
}
#: Functions of adapters that read this machine unless a root is given.
_ROOTED = (
    'audit.audit',
    'holders.read',
    'reconcile.reconcile',
    'repin.repin',
    'standalone.tune',
    'starting.start',
)
HOST = (
    'host topology --root {root}',
    'host devices --root {root}',
    'host plan --root {root}',
    'host plan --root {root} --detailed-exit-codes',
    'host status --root {root}',
    'host ready --root {root}',
    'host fragment --root {root}',
    'host apply --detailed-exit-codes',
    'host apply --detailed-exit-codes',
    'host status --root {root}',
    'host undo sriov --dry-run',
    'host undo --detailed-exit-codes',
    'host hooks install --root {root} --detailed-exit-codes',
    'host hooks remove --root {root} --detailed-exit-codes',
    'host cloud-init --schema',
    'host provision {files}/document.yaml',
    'host provision {files}/wrong.yaml',
    'host no-such-verb',
)
GUESTS = (
    'knob list',
    'knob show kvm:disk_io',
    'knob show kvm:no_such_knob',
    'flavor check {files}/good.json',
    'flavor check {files}/unknown.json',
    'flavor check {files}/absent.json',
    'flavor compile {files}/good.json',
    'guest plan --flavor {files}/good.json --xml {files}/g.xml '
    '--root {root} --dedicated-cpus 2-7',
    'guest plan --flavor {files}/refused.json --xml {files}/g.xml '
    '--root {root}',
    'guest tune g --flavor {files}/good.json --detailed-exit-codes',
    'guest tune g --flavor {files}/good.json --detailed-exit-codes',
    'guest tune absent --flavor {files}/good.json',
    'guest list',
    'guest audit',
    'guest start g --detailed-exit-codes',
    'guest start g --detailed-exit-codes',
    'guest list',
    'guest audit',
    'guest reconcile',
    'guest tune g --flavor {files}/refused.json',
    'guest undo g --detailed-exit-codes',
    'guest undo g --detailed-exit-codes',
)


def shape(document: Any) -> Any:
    """Return the keys of a document; a list's are those of all its items."""
    if isinstance(document, dict):
        return {str(key): shape(value) for key, value in document.items()}
    if isinstance(document, list):
        merged: Any = []
        for each in map(shape, document):
            merged = merge(merged, each)
        return merged
    return None


def merge(one: Any, other: Any) -> Any:
    """Return the keys of both."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: merge(one.get(key), other.get(key))
            for key in (*one, *(key for key in other if key not in one))
        }
    return one or other


def missing(recorded: Any, now: Any, path: str = '') -> Iterator[str]:
    """Yield the recorded keys that are gone."""
    if not isinstance(recorded, dict):
        return
    for key, below in recorded.items():
        if not isinstance(now, dict) or key not in now:
            yield f'{path}/{key}'
        else:
            yield from missing(below, now[key], f'{path}/{key}')


def collect(folder: Path) -> list[dict[str, Any]]:
    """Run all commands; return each with its status and keys, in order.

    :param folder: an empty one, for the host and the files.
    """
    root, files = folder / 'host', folder / 'files'
    for each in (root, files):
        each.mkdir()
    _write(files)
    found = []
    with _host(str(root)):
        found += _run(HOST, root, files)
    root = folder / 'guests'
    root.mkdir()
    FakeHost(
        cells=1, l3_per_cell=1, cores=8, threads=1, pfs=(FakePf('eth0'),)
    ).write(str(root))
    store = DomainStore(str(files))
    store.add('g')
    configuration = ('--config-file', f'{files}/guests.conf')
    with _guests(store, str(root)):
        found += _run(GUESTS, root, files, configuration)
    return found


def _write(files: Path) -> None:
    for name, specs in _FLAVORS.items():
        flavor = {
            'name': name, 'id': name, 'vcpus': 2, 'ram': 256, 'disk': 0,
            'properties': specs,
        }  # fmt: skip
        (files / f'{name}.json').write_text(json.dumps(flavor))
    (files / 'guests.conf').write_text(
        f'[placement]\ndedicated_cpus = 2-7\n[libvirt]\nlock_path = {files}\n'
    )
    (files / 'document.yaml').write_text('config: {ksm: {run: off}}\n')
    (files / 'wrong.yaml').write_text('config: {ksm: {run: maybe}}\n')


@contextlib.contextmanager
def _host(root: str) -> Iterator[None]:
    """Have the commands of host-prep work on a tree."""
    kernel: FakeKernel = whole_host.build(root)
    with (
        mock.patch.object(host_session, 'ROOT', root),
        mock.patch.object(host_session, 'system', lambda _root: kernel),
    ):
        yield


@contextlib.contextmanager
def _guests(store: DomainStore, root: str) -> Iterator[None]:
    """Have the commands of guests work on a store and a tree."""
    connection = importlib.import_module('kvm_tuning.adapters.connection')
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(
                connection,
                'open',
                lambda *_args, **_more: contextlib.nullcontext(store),
            )
        )
        for name in _ROOTED:
            module, _dot, function = name.partition('.')
            where = importlib.import_module(f'kvm_tuning.adapters.{module}')
            rooted = functools.partial(getattr(where, function), root=root)
            stack.enter_context(mock.patch.object(where, function, rooted))
        yield


def _run(
    lines: tuple[str, ...], root: Path, files: Path, *before: tuple[str, ...]
) -> list[dict[str, Any]]:
    runner = Command()
    runner.setUp()
    found = []
    try:
        for line in lines:
            words = line.format(root=root, files=files).split()
            options = [word for each in before for word in each]
            done = runner.run(*options, *words, '-f', 'json')
            if 'unrecognized arguments: -f' in done.stderr:
                done = runner.run(*options, *words)
            entry: dict[str, Any] = {'command': line, 'status': done.status}
            code = done.stderr.partition(':')[0]
            if done.status in (1, 2, 3) and code.isidentifier():
                entry['code'] = code
            with contextlib.suppress(ValueError):
                entry['keys'] = shape(json.loads(done.stdout))
            found.append(entry)
    finally:
        runner.cleanUp()
    return found
