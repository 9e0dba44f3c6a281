#!/usr/bin/env python3
"""Write the outputs that the documentation shows, or check them.

    tools/docs/outputs.py [--check]

Every sample flavor is checked, and a guest of it planned, on captured hosts:
hwloc's test data, in the directory that KVM_TUNING_HOST_DUMPS names. None of
them has VFs, so that a flavor with VFs is planned on a made-up host, too. Each
command becomes one file of doc/source/user/_outputs: the command line, what
it prints, and its exit status unless that is 0. An audit is shown of a guest
whose ``/proc`` was recorded, after a thread of it was moved. With ``--check``
nothing is written: the exit status is 1 when a file is not what
would be written.
"""

import argparse
from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import difflib
import os
from pathlib import Path
import re
import sys
import tempfile
from typing import Any

TOP = Path(__file__).resolve().parents[2]
OUTPUTS = TOP / 'doc' / 'source' / 'user' / '_outputs'
SAMPLES = TOP / 'etc' / 'kvm_tuning'

#: How wide an output is, in characters: what fits next to the navigation.
WIDTH = '96'
#: Images, by the flavor that is shown with one.
IMAGES = {'windows-desktop': 'windows'}


@dataclass(frozen=True)
class Host:
    """A host, and how its operator divides it."""

    #: What the documentation calls it.
    name: str
    #: None: made up.
    dump: str | None
    dedicated: str
    shared: str
    #: Pages of 2 MiB that are put into each cell, as a capture has none.
    pages: int = 0


HOSTS = (
    Host(
        'xeon-96',
        '96em64t-4no4pa3ca2co',
        '0-95,^3,^7,^11,^15,^19,^23,^27,^31,^35,^39,^43,^47,'
        '^51,^55,^59,^63,^67,^71,^75,^79,^83,^87,^91,^95',
        '3,7,11,15,19,23,27,31,35,39,43,47,51,55,59,63,67,71,75,79,83,87,91,'
        '95',
    ),
    Host(
        'opteron-48',
        '48amd64-4pa2n6c-sparse',
        '6-35,42-47',
        '0-5,36-41',
    ),
    Host(
        'xeon-80-smt',
        'memorysidecaches',
        '4-39,44-79',
        '0-3,40-43',
        pages=8192,
    ),
)


#: Two cells of eight cores with two threads, a PF and huge pages in each.
MADE = Host(
    'made-up-vfs', None, '2-7,10-15,18-23,26-31', '0-1,8-9,16-17,24-25'
)
#: Two sockets of 64 cores with two threads, eight cores behind each L3 cache,
#: and a PF on the second: as an EPYC 9554 with one NUMA cell a socket.
EPYC = 'epyc-128'

#: Flavors that are shown on it, too.
ON_MADE = ('network-function-vf',)


@dataclass(frozen=True)
class Shown:
    """One command, and the file that shows it."""

    name: str
    argv: tuple[str, ...]


def shown() -> Iterator[Shown]:
    """Yield every command that the documentation shows."""
    from tests.fixtures import host_dumps

    for name in (EPYC, *host_dumps.NAMES):
        yield Shown(
            f'recommend-{name}',
            ('host', 'recommend', '--root', f'captured/{name}'),
        )
    for host in HOSTS:
        yield Shown(
            f'topology-{host.name}',
            ('host', 'topology', '--root', f'hosts/{host.name}'),
        )
    for path in sorted((SAMPLES / 'flavors').glob('*.yaml')):
        name = path.stem
        flavor = f'flavors/{path.name}'
        image: tuple[str, ...] = ()
        if name in IMAGES:
            image = ('--image', f'images/{IMAGES[name]}.yaml')
        yield Shown(f'check-{name}', ('flavor', 'check', flavor, *image))
        for host in (*HOSTS, *((MADE,) if name in ON_MADE else ())):
            root = ('--root', f'hosts/{host.name}')
            yield Shown(
                f'check-{name}-{host.name}',
                ('flavor', 'check', flavor, *image, *root),
            )
            yield Shown(
                f'plan-{name}-{host.name}',
                (
                    'guest', 'plan', '--flavor', flavor, *image,
                    '--xml', 'samples/guest.xml', *root,
                ),
            )  # fmt: skip
    yield Shown(
        'diff-database-xeon-96',
        (
            'guest', 'plan', '--flavor', 'flavors/database.yaml',
            '--xml', 'samples/guest.xml', '--root', 'hosts/xeon-96',
            '--show', 'diff',
        ),
    )  # fmt: skip


def prepare(stack: contextlib.ExitStack, folder: Path) -> None:
    """Lay out ``folder`` as the command lines have it."""
    from tests.fixtures import host_dumps

    for kind in ('flavors', 'images', 'samples'):
        (folder / kind).symlink_to(SAMPLES / kind)
    captured = folder / 'captured'
    captured.mkdir()
    for name in host_dumps.NAMES:
        dump = stack.enter_context(host_dumps.HostDump(name))
        (captured / name).symlink_to(dump.root)
    _epyc(captured / EPYC)
    (folder / 'hosts').mkdir()
    for host in (*HOSTS, MADE):
        root = folder / 'hosts' / host.name
        if host.dump is None:
            _make(root)
        else:
            dump = stack.enter_context(host_dumps.HostDump(host.dump))
            root.symlink_to(dump.root)
        config = root / 'etc' / 'kvm-tuning' / 'kvm-tuning.conf'
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[placement]\n'
            f'dedicated_cpus = {host.dedicated}\n'
            f'shared_cpus = {host.shared}\n'
        )
        if not host.pages:
            continue
        nodes = root / 'sys' / 'devices' / 'system' / 'node'
        for pool in nodes.glob('node*/hugepages/hugepages-2048kB'):
            for name in ('nr_hugepages', 'free_hugepages'):
                (pool / name).write_text(f'{host.pages}\n')


def _make(root: Path) -> None:
    from tests.fixtures.fake_host import FakeHost, FakePf

    root.mkdir()
    FakeHost(
        cells=2,
        l3_per_cell=2,
        cores=4,
        threads=2,
        huge_pages={2048: 4096},
        memory_gib=64,
        pfs=(FakePf('enp1s0', 0, vfs=4), FakePf('enp2s0', 1, vfs=4)),
    ).write(str(root))


def _epyc(root: Path) -> None:
    from tests.fixtures.fake_host import FakeHost, FakePf

    root.mkdir()
    FakeHost(
        cells=2,
        l3_per_cell=8,
        cores=8,
        threads=2,
        huge_pages={2048: 0},
        memory_gib=768,
        pfs=(FakePf('enp1s0', 1, vfs=8),),
    ).write(str(root))


def texts() -> dict[str, str]:
    """Return what each file should hold, by its name."""
    from tests.fixtures.command import Command

    found: dict[str, str] = {}

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(stack, folder)
        stack.enter_context(contextlib.chdir(folder))
        command = stack.enter_context(Command())
        for each in shown():
            found[f'{each.name}.txt'] = _output(command, each.argv)
        for name in audited(stack):
            text = _output(command, ('guest', 'audit', 'web1'))
            found[f'{name}.txt'] = text
            words = ('guest', 'audit', 'web1', '--all')
            found[f'{name}-all.txt'] = _output(command, words)
    return found


def _output(command: Any, argv: tuple[str, ...]) -> str:
    """Return what one command prints, below its command line."""
    done = command.run(*argv)
    if done.status not in (0, 1):
        raise RuntimeError(f'{argv}: {done}')
    line = ' '.join(('$ kvm-tuning', *argv))
    text = f'{_folded(line)}\n{done.stdout}{done.stderr}'
    return f'{text}(exit status {done.status})\n' if done.status else text


def audited(stack: contextlib.ExitStack) -> Iterator[str]:
    """Yield the name of a state in which the recorded guest can be audited:
    all is kept, but that one vCPU may run where it should not.
    """
    from fixtures import MonkeyPatch

    from kvm_tuning.adapters.audit import Audited
    from kvm_tuning.core import domain
    from kvm_tuning.core.audit import compare
    from kvm_tuning.core.ledger import Ledger
    from kvm_tuning.host.guests import observe
    from tests.fixtures.fake_host import FakeHost
    from tests.fixtures.promises import receipt
    from tests.fixtures.recorded_guest import PID, RecordedGuest
    from tests.unit.test_recorded_audit import PROMISES

    guest = stack.enter_context(RecordedGuest())
    inventory = FakeHost(cells=1, cores=4, threads=1).inventory()

    def look(*_arguments: Any, **_options: Any) -> list[Audited]:
        findings = compare.compare(
            domain.read(guest.xml),
            receipt(*PROMISES),
            observe.observe(PID, guest.xml, str(guest.root)),
            inventory,
            Ledger(),
        )
        return [Audited('web1', True, findings)]

    def no_libvirt(*_arguments: Any, **_options: Any) -> Any:
        return contextlib.nullcontext()

    for name, stand_in in (
        ('kvm_tuning.adapters.audit.audit', look),
        ('kvm_tuning.adapters.connection.open', no_libvirt),
    ):
        stack.enter_context(MonkeyPatch(name, stand_in))
    guest.thread(100, 'CPU 1/TCG', '0-1')
    yield 'audit-broken'


def _folded(line: str, width: int = 79) -> str:
    """Return a command line in lines that a shell would take; an option
    stays with its value.
    """
    lines, current = [], ''
    for word in re.findall(r'--\S+ [^- ]\S*|\S+', line):
        if current and len(current) + len(word) + 3 > width:
            lines.append(f'{current} \\')
            current = f'    {word}'
        else:
            current = f'{current} {word}' if current else word
    return '\n'.join([*lines, current])


def differences(wanted: dict[str, str]) -> list[str]:
    """Return where the files are not what is wanted, as a diff."""
    lines: list[str] = []
    there = {path.name for path in OUTPUTS.glob('*.txt')}
    for name in sorted(there | set(wanted)):
        path = OUTPUTS / name
        now = path.read_text() if name in there else ''
        lines += difflib.unified_diff(
            now.splitlines(keepends=True),
            wanted.get(name, '').splitlines(keepends=True),
            f'{name} as it is',
            f'{name} as it should be',
        )
    return lines


def write(wanted: dict[str, str]) -> None:
    """Write all files, and remove what is none of them."""
    OUTPUTS.mkdir(exist_ok=True)
    for path in OUTPUTS.glob('*.txt'):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (OUTPUTS / name).write_text(text)


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing')
    check = parser.parse_args().check
    sys.path.insert(0, str(TOP))
    from tests.fixtures import host_dumps

    if not host_dumps.available():
        print(f'{host_dumps.ENVIRONMENT} is not set', file=sys.stderr)
        return 2
    # Neither the width of a terminal nor a configuration of this machine.
    for name in ('CLIFF_MAX_TERM_WIDTH', 'CLIFF_FIT_WIDTH'):
        os.environ.pop(name, None)
    os.environ['COLUMNS'] = WIDTH
    wanted = texts()
    if not check:
        write(wanted)
        print(f'{len(wanted)} outputs written to {OUTPUTS.relative_to(TOP)}')
        return 0
    lines = differences(wanted)
    sys.stdout.writelines(lines)
    if lines:
        print('Run tools/docs/outputs.py, and look at what has changed.')
        return 1
    print(f'{len(wanted)} outputs are as they should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
