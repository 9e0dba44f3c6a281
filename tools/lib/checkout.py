"""The checkout, and the wheel that is made of it: for the tools beside."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

TOP = Path(__file__).resolve().parents[2]

#: Names the folder of everything that the tools make.
CACHE = 'KVM_TUNING_CACHE'


class ToolError(Exception):
    """Something cannot be made or started; the message says why."""


def made_in(tool: str) -> Path:
    """Return a tool's folder for what it makes, made if it is missing."""
    path = Path(os.environ.get(CACHE) or TOP / '.cache').resolve() / tool
    path.mkdir(parents=True, exist_ok=True)
    return path


def wheel(place: Path) -> Path:
    """Make the checkout's wheel, as it is now, in an empty ``place``.

    It is made of a copy: two builds in one place would be in each other's
    way, and setuptools would walk through all that the tools have made.

    :raises ToolError: git or pip fails.
    """
    shutil.rmtree(place, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix='kvm-tuning-') as source:
        _copy(Path(source))
        _run(
            sys.executable, '-m', 'pip', '--quiet',
            '--disable-pip-version-check', 'wheel', '--no-deps',
            '--wheel-dir', str(place), source,
        )  # fmt: skip
    (built,) = place.glob('*.whl')
    return built


def _copy(source: Path) -> None:
    _run('git', 'clone', '--quiet', '--shared', str(TOP), str(source))
    listed = _run(
        'git', '-C', str(TOP), 'ls-files', '-z', '--cached', '--others',
        '--exclude-standard',
    )  # fmt: skip
    for name in filter(None, listed.split('\0')):
        if (TOP / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, source / name)
        else:
            (source / name).unlink(missing_ok=True)
    # What git knows is part of the wheel.
    _run('git', '-C', str(source), 'add', '--all')


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-1500:]
        raise ToolError(f'{" ".join(command[:6])}: {words}')
    return done.stdout
