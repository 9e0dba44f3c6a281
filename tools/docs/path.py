#!/usr/bin/env python3
"""Walk the operator's path in the real cloud, and write down what it prints.

    python tools/cloud run python tools/docs/path.py [--check]

From a compute node without the package to an audited guest, by what an
operator types. Each command has to end as the page says it does. The outputs
go to ``doc/source/admin/_path``; with ``--check`` nothing is written. What is
installed, configured and made on the way is taken back.
"""

import argparse
import contextlib
from dataclasses import dataclass
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time

TOP = Path(__file__).resolve().parents[2]
PAGES = TOP / 'doc/source/admin/_path'
FOLDER = Path(os.environ.get('KVM_TUNING_CLOUD') or '/nonexistent')
# After what tests have left.
NOVA = FOLDER / 'etc/nova/compute.d/zz-path.conf'
CONFIGURATION = Path('/etc/kvm-tuning/kvm-tuning.conf')
OURS = ('nova-compute', 'nova-scheduler', 'nova-api')
#: Flavors of the wheel that are tried.
SAMPLES = ('plain', 'latency', 'density')
#: Before: Nova's own driver, in the place of what the cloud is made with.
STOCK = '[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n'


@dataclass(frozen=True)
class Shown:
    """Commands as an operator types them, and the file that shows them."""

    name: str
    commands: tuple[str, ...]
    #: The exit status of the last one.
    status: int = 0


INSTALL = Shown(
    'install', ('pip install -q kvm_tuning-*.whl', 'kvm-tuning --version')
)
HOST = (
    Shown('topology', ('kvm-tuning host topology',)),
    Shown('plan', ('kvm-tuning host plan',)),
    Shown('apply', ('kvm-tuning host apply', 'kvm-tuning host status')),
)
FRAGMENT = Shown('fragment', ('kvm-tuning host fragment',))
TRAITS = Shown(
    'traits',
    (
        'openstack --os-placement-api-version 1.6 '
        'resource provider trait list "$(openstack resource provider '
        'list -f value -c uuid)" -f value | grep KVM_TUNING',
    ),
)
GUEST = (
    Shown('check', ('kvm-tuning flavor check perf.yaml',)),
    Shown(
        'push',
        (
            'openstack flavor create perf --vcpus 1 --ram 192 --disk 0 '
            '-c name -c vcpus -c ram',
            'kvm-tuning flavor push perf.yaml',
        ),
    ),
    Shown(
        'typo',
        ('openstack flavor set perf --property kvm:cpu_localty=l3',),
        status=1,
    ),
    Shown(
        'boot',
        (
            'openstack server create one --wait --flavor perf --image tiny '
            '--network net -c name -c status -c OS-EXT-SRV-ATTR:host '
            '-c OS-EXT-SRV-ATTR:instance_name',
            'kvm-tuning guest list',
        ),
    ),
    Shown('audit', ('kvm-tuning guest audit',)),
    Shown(
        'refused',
        (
            'openstack server delete one --wait',
            'openstack flavor set perf --property kvm:vif_backend=vhost',
            'openstack server create two --wait --flavor perf --image tiny '
            '--network net',
        ),
        status=1,
    ),
    Shown(
        'why',
        (
            'openstack server event show two "$(openstack server event list '
            'two -f value -c "Request ID" | tail -n 1)" -f json '
            '| grep \'"details": "\'',
        ),
    ),
    Shown(
        'smoke',
        (
            'openstack server delete two --wait',
            'kvm-tuning nova smoke --image blank --network net '
            '--most-vcpus 1 --most-ram 128 --most-disk 0 '
            + ' '.join(f'{name}.yaml' for name in SAMPLES),
        ),
    ),
)
UNDO = Shown('undo', ('kvm-tuning host undo',))


class WrongEnd(Exception):
    """A command has not ended as the page says."""


def walk(place: Path, wheel: Path) -> dict[str, str]:
    """Return what each file should hold, by its name."""
    shutil.copy(wheel, place)
    shutil.copy(PAGES / 'perf.yaml', place)
    for name in SAMPLES:
        shutil.copy(TOP / f'etc/kvm_tuning/flavors/{name}.yaml', place)
    found = {}

    def show(*each: Shown) -> None:
        for shown in each:
            found[f'{shown.name}.txt'] = output(shown, place)

    NOVA.write_text(STOCK)
    run('pip uninstall -q -y kvm-tuning', place)
    restart('nova-compute')
    show(INSTALL)
    CONFIGURATION.parent.mkdir(exist_ok=True)
    shutil.copy(PAGES / 'kvm-tuning.conf', CONFIGURATION)
    show(*HOST, FRAGMENT)
    fragment = run('kvm-tuning host fragment', place)[1]
    NOVA.write_text((PAGES / 'nova.conf').read_text() + fragment)
    restart(*OURS)
    wait(TRAITS, place)
    show(TRAITS, *GUEST)
    show(UNDO)
    return found


def clean(wheel: Path) -> None:
    """Take back what is left, wherever the walk has ended."""
    for words in (
        'for name in one two; do openstack server delete $name --wait; done',
        'openstack flavor delete perf',
        f'pip install -q --no-deps {wheel}',
        'kvm-tuning host undo',
    ):
        with contextlib.suppress(WrongEnd):
            run(f'{words} 2>/dev/null || true', FOLDER)
    CONFIGURATION.unlink(missing_ok=True)
    NOVA.unlink(missing_ok=True)
    restart(*OURS)


def output(shown: Shown, place: Path) -> str:
    """Return what commands print, below their command lines.

    :raises WrongEnd: one ends with another exit status than it should.
    """
    text = ''
    for number, command in enumerate(shown.commands, 1):
        wanted = shown.status if number == len(shown.commands) else 0
        status, printed = run(command, place)
        if status != wanted:
            raise WrongEnd(f'{command}: {status}, not {wanted}\n{printed}')
        text += f'# {_folded(command)}\n{printed}'
        if status:
            text += f'(exit status {status})\n'
    return text


def wait(shown: Shown, place: Path) -> None:
    """Wait until the cloud answers commands as it will.

    :raises WrongEnd: it does not, in a minute.
    """
    end = time.monotonic() + 60
    while True:
        try:
            output(shown, place)
        except WrongEnd:
            if time.monotonic() > end:
                raise
            time.sleep(1)
        else:
            return


def _folded(command: str) -> str:
    """Return a command in lines that a shell would take."""
    lines = textwrap.wrap(
        command, 72, break_long_words=False, break_on_hyphens=False
    )
    return ' \\\n      '.join(lines)


def run(command: str, place: Path) -> tuple[int, str]:
    """Return the exit status of a command, and what it prints."""
    done = subprocess.run(
        ['bash', '-o', 'pipefail', '-c', command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=place,
        timeout=300,
    )
    return done.returncode, re.sub(r'[ \t]+\n', '\n', done.stdout)


def restart(*services: str) -> None:
    """Restart services of the cloud."""
    subprocess.run(
        [sys.executable, str(TOP / 'tools/cloud'), 'restart', *services],
        check=True,
        capture_output=True,
    )


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing')
    check = parser.parse_args().check
    if not FOLDER.is_dir():
        print('this is not the cloud: python tools/cloud run', file=sys.stderr)
        return 2
    # Not the width of a terminal.
    for name in ('COLUMNS', 'CLIFF_MAX_TERM_WIDTH', 'CLIFF_FIT_WIDTH'):
        os.environ.pop(name, None)
    (wheel,) = (FOLDER / 'wheel').glob('*.whl')
    with tempfile.TemporaryDirectory() as place:
        try:
            found = walk(Path(place), wheel)
        except WrongEnd as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            clean(wheel)
    if not check:
        for name, text in found.items():
            (PAGES / name).write_text(text)
    print(f'{len(found)} outputs are as they should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
