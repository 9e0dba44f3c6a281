"""The cloud's virtual environment: OpenStack, and the checkout's wheel."""

import hashlib
from importlib import metadata
from pathlib import Path
import subprocess
import sys

from tools.cloud.places import HERE, CloudError, folder, program, say
from tools.lib.checkout import TOP, wheel

# What the wheel is made from.
_SOURCES = ('kvm_tuning', 'etc', 'setup.cfg', 'setup.py', 'pyproject.toml')


def install() -> bool:
    """Install OpenStack, the wheel and the tiny guest, where not done.

    Return whether what runs is not what is installed any more.

    :raises CloudError: something cannot be installed.
    """
    changed = _openstack()
    changed = _wheel() or changed
    _run([str(TOP / 'tools/tiny-guest.sh'), str(guest())])
    return changed


def guest() -> Path:
    """Return the folder of the tiny guest."""
    return folder().parent / 'tiny-guest'


def _wheel() -> bool:
    """Install the checkout's wheel, as an operator would."""
    wanted = _digest([TOP / name for name in _SOURCES])
    if _is_made('wheel', wanted):
        return False
    built = wheel(folder() / 'wheel')
    _pip('install', '--no-deps', '--force-reinstall', str(built))
    _pip('check')
    _made('wheel', wanted)
    say(f'{built.name} installed')
    return True


def _openstack() -> bool:
    files = [HERE / 'requirements.txt', HERE / 'constraints.txt']
    binding = _libvirt_python()
    wanted = _digest([*files, TOP / 'requirements.txt', binding, sys.version])
    if _is_made('venv', wanted):
        return False
    if not Path(program('python')).exists():
        _run([sys.executable, '-m', 'venv', str(folder() / 'venv')])
    requirements, constraints = map(str, files)
    _pip(
        'install', '-c', constraints, '-r', requirements,
        '-r', str(TOP / 'requirements.txt'), binding,
    )  # fmt: skip
    _made('venv', wanted)
    say('OpenStack installed')
    return True


def _libvirt_python() -> str:
    """Return the binding that fits the installed libvirt: this Python's."""
    try:
        version = metadata.version('libvirt-python')
    except metadata.PackageNotFoundError as error:
        raise CloudError(
            'libvirt-python is missing: tools/test.sh installs the one that '
            'fits the installed libvirt'
        ) from error
    return f'libvirt-python=={version}'


def _digest(things: list[Path | str]) -> str:
    made = hashlib.sha256()
    for thing in things:
        if isinstance(thing, str):
            made.update(thing.encode())
            continue
        paths = [thing] if thing.is_file() else sorted(thing.rglob('*'))
        for path in paths:
            if path.is_file() and '__pycache__' not in path.parts:
                made.update(f'{path.relative_to(TOP)}\0'.encode())
                made.update(path.read_bytes())
    return made.hexdigest()


def _stamp(name: str) -> Path:
    return folder() / 'venv' / f'{name}.stamp'


def _is_made(name: str, wanted: str) -> bool:
    return _stamp(name).exists() and _stamp(name).read_text() == wanted


def _made(name: str, stamp: str) -> None:
    _stamp(name).write_text(stamp)


def _pip(verb: str, *arguments: str) -> None:
    say(f'pip {verb}')
    _run(
        [
            program('python'), '-m', 'pip', '--quiet',
            '--disable-pip-version-check', verb, *arguments,
        ]
    )  # fmt: skip


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CloudError(
            f'{" ".join(command[:6])}: {done.stdout[-500:]}'
            f'{done.stderr[-1500:]}'
        )
