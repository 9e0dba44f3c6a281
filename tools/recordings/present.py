"""What the commands of this tree take and print, whole, to be compared.

::

    python -m tools.recordings.present [--check]

writes ``tests/present``, a file for each part; with ``--check`` it
prints the differences instead, and exits with 1 when there is one. Whoever
changes what is printed runs it, and reads the difference before committing
it, as others will: people and scripts read these words. Paths of the host and
of files are HOST and FILES.
"""

import argparse
from collections.abc import Iterator
import contextlib
import difflib
import importlib
import json
import os
from pathlib import Path
import re
import sys
import tempfile
from unittest import mock

from kvm_tuning import loader
from kvm_tuning.core import domain
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.host import document
from tests.fixtures import assessed_guest, scattered_guests
from tests.fixtures import scenarios as scenarios_
from tests.fixtures.command import Command
from tests.fixtures.domain_store import DomainStore, xml
from tests.fixtures.fake_host import FakeHost, FakePf
from tools.recordings import commands, entry_points, surface

FOLDER = surface.ROOT / 'tests' / 'present'
#: Options of cliff's own, which may differ by its version.
CLIFFS = {
    'help', 'formatter', 'columns', 'quote_mode', 'noindent', 'max_width',
    'fit_width', 'print_empty', 'sort_columns', 'sort_direction', 'variables',
    'prefix',
}  # fmt: skip
READING = (
    'host topology --root HOST',
    'host devices --root HOST',
    'host map --root HOST --no-libvirt',
    'host recommend --root HOST --no-libvirt',
    'host capacity --flavor FILES/good.json FILES/pages.json --root HOST '
    '--no-libvirt',
    'host capacity --flavor FILES/good.json --root HOST --no-libvirt '
    '--taken 2 --dedicated-cpus 2-7',
    'host capacity --flavor FILES/refused.json --root HOST --no-libvirt',
    'host assess --root HOST --no-libvirt --seconds 0',
    'host plan --root HOST',
    'host status --root HOST',
    'host ready --root HOST',
    'host fragment --root HOST',
    'host cloud-init --schema',
    'flavor check FILES/good.json --root HOST',
    'flavor check FILES/rich.json --root HOST',
    'flavor check FILES/unknown.json',
    'flavor compile FILES/rich.json',
    'flavor compile FILES/good.json',
    'guest plan --flavor FILES/rich.json --xml FILES/g.xml --root HOST '
    '--dedicated-cpus 2-7',
    'guest plan --flavor FILES/rich.json --xml FILES/g.xml --root HOST '
    '--dedicated-cpus 2-7 --show diff',
    'guest plan --flavor FILES/refused.json --xml FILES/g.xml --root HOST',
    'knob list',
    'knob metadefs',
    'schema flavor',
    'schema image',
    'schema configuration',
    'schema cloud-init',
)
CHANGING = (
    'host apply --detailed-exit-codes',
    'host apply --detailed-exit-codes',
    'host plan --root HOST',
    'host status --root HOST',
    'host ready --root HOST',
    'host undo sriov --dry-run',
    'host undo --detailed-exit-codes',
    'host hooks install --root HOST --detailed-exit-codes',
    'host hooks remove --root HOST --detailed-exit-codes',
    'host units install --root HOST --detailed-exit-codes',
    'host units remove --root HOST --detailed-exit-codes',
)
ASSESSING = (
    'guest assess --root HOST --no-page-tables',
    'guest assess fine --root HOST',
    'host assess --root HOST --no-libvirt',
    'host assess --root HOST --domains FILES/domains',
    'host capacity --flavor FILES/good.json --root HOST '
    '--domains FILES/domains',
    'host recommend --root HOST --domains FILES/domains',
    'host map --root HOST --domains FILES/domains',
    'host map --root HOST --domains FILES/domains --output FILES/map.svg',
    'cat FILES/map.svg',
    'host map --root HOST --domains FILES/domains --output FILES/map.html',
    'cat FILES/map.html',
    'host map --root HOST --domains FILES/domains --domain a '
    '--flavor FILES/good.json',
    'host rebalance --dry-run --root HOST --domains FILES/domains',
    'host rebalance --dry-run --root HOST --domains FILES/domains '
    '--include-untuned --map FILES/plan.svg',
    'cat FILES/plan.svg',
)
GUESTS = (
    'guest list',
    'guest tune g --flavor FILES/rich.json --detailed-exit-codes',
    'guest tune g --flavor FILES/rich.json --detailed-exit-codes --plan',
    'guest tune g h --flavor FILES/good.json',
    'guest tune absent --flavor FILES/good.json',
    'guest start g --detailed-exit-codes',
    'guest start g --detailed-exit-codes',
    'guest list',
    'guest repin g',
    'guest repin g --cpus 0',
    'guest repin h',
    'guest audit g --all',
    'guest audit',
    'guest reconcile',
    'guest tune h --flavor FILES/refused.json',
    'guest undo g h --detailed-exit-codes',
    'guest undo h --detailed-exit-codes',
)
_LENGTH = 60
_RICH = {
    'hw:cpu_policy': 'dedicated',
    'kvm:page_sharing': 'false',
    'kvm:iothreads': '2',
    'kvm:disk_cache': 'none',
    'kvm:disk_queues': '2',
    'kvm:vif_queues': '2',
    'kvm:emulator_cpus': 'housekeeping',
    'kvm:vfs': '1',
}


def parsers() -> Iterator[str]:
    """Yield what each command takes, a line for each option."""
    points = entry_points.read(surface.ROOT)['kvm_tuning.cli']
    for name, target in sorted(points.items()):
        module, _colon, cls = target.partition(':')
        command = getattr(__import__(module, fromlist=[cls]), cls)
        parser = command(mock.MagicMock(), None).get_parser(name)
        yield f'{name.replace("_", " ")}: {parser.description}\n'
        for action in parser._actions:
            if action.dest in CLIFFS:
                continue
            facts = {
                'nargs': action.nargs,
                'const': action.const,
                'default': action.default,
                'type': getattr(action.type, '__name__', action.type),
                'choices': action.choices and list(action.choices),
                'required': action.required,
                'metavar': action.metavar,
                'help': action.help,
            }
            # A partial or an object has an address
            words = [
                re.sub(' at 0x[0-9a-f]+', '', f'{key}={value!r}')
                for key, value in facts.items()
                if value not in (None, False)
            ]
            called = '/'.join(action.option_strings) or action.dest
            yield f'  {called} ({action.dest}): {" ".join(words)}\n'
        for group in parser._mutually_exclusive_groups:
            names = [action.dest for action in group._group_actions]
            yield f'  one of {names}, required: {group.required}\n'


def reading() -> Iterator[str]:
    """Yield what commands that change nothing print."""
    with _files() as folder:
        root = folder / 'host'
        root.mkdir()
        _host().write(str(root))
        names = sorted(loader.knobs(loader.load()))
        shown = tuple(f'knob show {name}' for name in names)
        yield from _printed((*READING, *shown), root, folder)


def assessing() -> Iterator[str]:
    """Yield what commands print about guests that run here and there."""
    with _files() as folder:
        root, domains = folder / 'host', folder / 'domains'
        root.mkdir()
        domains.mkdir()
        assessed_guest.HOST.write(str(root))
        assessed_guest.AssessedGuest('fine').write(str(root))
        assessed_guest.AssessedGuest(
            'bad', 2000, ('0', '16', '8', '24'), swapped_kib=1 << 20
        ).write(str(root))
        for name, pcpus in (('a', (0, 4, 1, 5)), ('b', (2, 6, 3, 7))):
            text = scattered_guests.xml(name, *pcpus)
            (domains / f'{name}.xml').write_text(text)
        yield from _printed(ASSESSING, root, folder)


def changing() -> Iterator[str]:
    """Yield what commands that change a host print."""
    with _files() as folder:
        root = folder / 'host'
        root.mkdir()
        with commands._host(str(root)):
            yield from _printed(CHANGING, root, folder)


def guests() -> Iterator[str]:
    """Yield what commands on guests print."""
    with _files() as folder:
        root = folder / 'host'
        root.mkdir()
        _host().write(str(root))
        store = DomainStore(folder)
        store.busy = frozenset
        store.add('h')
        store.add('g')
        with commands._guests(store, str(root)):
            yield from _printed(
                GUESTS, root, folder, '--config-file', 'FILES/guests.conf'
            )


def _host() -> FakeHost:
    return FakeHost(
        cells=2,
        l3_per_cell=1,
        cores=4,
        threads=2,
        huge_pages={2048: 512},
        pfs=(FakePf('eth0', 0, vfs=2), FakePf('eth1', 1, vfs=2)),
    )


@contextlib.contextmanager
def _files() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        # Lines are folded by their length, whatever the place is called
        folder = Path(name, 'x' * max(1, _LENGTH - len(name)))
        folder.mkdir()
        commands._write(folder)
        for flavor, specs in (
            ('rich', _RICH),
            ('pages', {'hw:mem_page_size': 'large'}),
        ):
            fields = {
                'name': flavor, 'id': flavor, 'vcpus': 2, 'ram': 256,
                'disk': 0, 'properties': specs,
            }  # fmt: skip
            (folder / f'{flavor}.json').write_text(json.dumps(fields))
        (folder / 'g.xml').write_text(xml('g'))
        yield folder


def _printed(
    lines: tuple[str, ...], root: Path, files: Path, *before: str
) -> Iterator[str]:
    """Yield what commands print, as JSON, too, where they can."""
    # As wide as where there is no terminal
    wide = mock.patch.dict(os.environ, COLUMNS='80')
    with wide, Command() as command:
        for line in lines:
            if line.startswith('cat '):
                name = line.removeprefix('cat FILES/')
                # A tag a line, so that a difference can be read
                text = (files / name).read_text().replace('><', '>\n<')
                yield f'$ {line}\n{text}\n'
                continue
            for more in ((), ('-f', 'json')):
                words = [
                    word.replace('HOST', str(root)).replace(
                        'FILES', str(files)
                    )
                    for word in (*before, *line.split(), *more)
                ]
                done = command.run(*words)
                if 'unrecognized arguments: -f' in done.stderr:
                    continue
                yield f'$ {" ".join((line, *more))}\n'
                text = done.stdout + done.stderr
                for path, short in ((root, 'HOST'), (files, 'FILES')):
                    text = text.replace(str(path), short)
                yield text if text.endswith('\n') or not text else f'{text}\n'
                yield f'(exit status {done.status})\n'


def surfaces() -> Iterator[str]:
    """Yield the names that programs and files depend on, sorted."""
    yield json.dumps(surface.collect(), indent=1, sort_keys=True, default=str)
    yield '\n'


def reference() -> Iterator[str]:
    """Yield what the reference pages say of errors, findings and keys."""
    # Sphinx is needed for it alone
    sphinxext = importlib.import_module('kvm_tuning.sphinxext')
    for lines in (
        sphinxext.errors(),
        sphinxext.error_remedies(),
        sphinxext.finding_remedies(),
        sphinxext.assessments(),
        sphinxext.keys_of(document.schema()['properties']),
        (line for hook in loader.load() for line in sphinxext.describe(hook)),
    ):
        yield from (f'{line}\n' for line in lines)


def scenarios() -> Iterator[str]:
    """Yield what becomes of each scenario's guest, or why it is refused."""
    for scenario in scenarios_.scenarios():
        yield f'=== {scenario["file"]}: {scenario["name"]}\n'
        try:
            found, made = scenarios_.plan_of(scenario)
            tuned = domain.tune(found, made)
        except KvmTuningError as error:
            for each in getattr(error, 'errors', [error]):
                yield f'{each.code}: {each}\n'
            continue
        lines = difflib.unified_diff(
            found.xml.splitlines(), tuned.splitlines(), lineterm='', n=0
        )
        yield from (f'{line}\n' for line in list(lines)[2:])
        for unkept in made.unkept:
            yield f'not kept: {unkept}\n'
        for each in made.consequences:
            yield f'{each.audience}: {each.code}: {each.text}\n'


PARTS = {
    'parsers': parsers,
    'reading': reading,
    'assessing': assessing,
    'changing': changing,
    'guests': guests,
    'reference': reference,
    'scenarios': scenarios,
    'surface': surfaces,
}


def differences(part: str) -> str:
    """Return where a part is not what is recorded, as a difference."""
    path = FOLDER / f'{part}.txt'
    recorded = path.read_text() if path.exists() else ''
    return ''.join(
        difflib.unified_diff(
            recorded.splitlines(keepends=True),
            ''.join(PARTS[part]()).splitlines(keepends=True),
            f'{part} as it is recorded',
            f'{part} as it is',
            n=1,
        )
    )


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing')
    given = parser.parse_args()
    bad = False
    for part, collect in PARTS.items():
        if given.check:
            found = differences(part)
            sys.stdout.write(found)
            bad |= bool(found)
        else:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f'{part}.txt').write_text(''.join(collect()))
    return int(bad)


if __name__ == '__main__':
    sys.exit(main())
