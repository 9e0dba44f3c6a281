"""The project, installed in the node as an operator does: a wheel, in a
virtual environment that uses Debian's packages. Nothing is downloaded.
"""

import functools
from pathlib import Path
import shutil
import sys

from tools.lab.image import TINY_GUEST, Image, tool
from tools.lab.node import Node
from tools.lab.places import digest, folder, is_made, made, say, unmade
from tools.lib.checkout import TOP, wheel

#: Where it is, in the node.
VENV = '/opt/kvm-tuning'
#: Where the tests are: below it, as in the checkout.
TESTS = '/opt/kvm-tuning-tests'
#: The shell's words before a test's command.
ENVIRONMENT = (
    f'cd {TESTS} && KVM_TUNING_LAB=1 PYTHONPATH=. '
    # Debian's oslo.concurrency imports eventlet, which takes 10 s for DNS.
    f'EVENTLET_NO_GREENDNS=yes '
    f'KVM_TUNING_TINY_GUEST=/{TINY_GUEST}'
)
#: The node's Python: Debian 13's.
_PYTHON = '3.13'
# What the tests need of the checkout.
_TEST_FILES = ('tests/fixtures', 'tests/functional', 'tests/lab', 'etc')


def install(node: Node) -> None:
    """Install the checkout's project and tests in the running node.

    :raises LabError: a step failed.
    """
    built = make(node.image)
    node.send(built.parent, [built.name], '/opt', compiled=True)
    node.send(TOP, _TEST_FILES, TESTS)
    # Not the checkout's, which is about hypothesis: no test here uses it.
    node.run(f': >{TESTS}/tests/__init__.py')
    # Where a distribution's package has them, and the systemd units look.
    node.run(f'ln -sf {VENV}/bin/kvm-tuning* /usr/bin/')


def _wheelhouse() -> Path:
    """Return a folder with wheels of all that is required, for the node's
    Python: the node takes from it what Debian's packages do not satisfy.
    """
    place = folder() / 'wheelhouse'
    requirements = TOP / 'requirements.txt'
    wanted = digest([requirements, _PYTHON])
    if not is_made(place, wanted):
        unmade(place)
        shutil.rmtree(place, ignore_errors=True)
        platforms = ('manylinux2014_x86_64', 'manylinux_2_28_x86_64')
        tool(
            sys.executable, '-m', 'pip', '--quiet',
            '--disable-pip-version-check', 'download',
            '--only-binary=:all:', '--python-version', _PYTHON,
            *(word for each in platforms for word in ('--platform', each)),
            '--dest', str(place), '-r', str(requirements),
        )  # fmt: skip
        made(place, wanted)
    return place


@functools.cache
def make(image: Image) -> Path:
    """Return the virtual environment, made in the unpacked root: the same
    Python, and much faster than in the node. One for all groups of a run.

    :raises ToolError: a step failed.
    """
    ours = wheel(folder() / 'wheel')
    built = image.root / VENV.lstrip('/')
    shutil.rmtree(built, ignore_errors=True)
    staged = image.root / 'tmp/wheels'
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(_wheelhouse(), staged)
    shutil.copy(ours, staged)
    try:
        image.chroot(
            'python3', '-m', 'venv', '--system-site-packages',
            '--without-pip', VENV,
        )  # fmt: skip
        image.chroot(
            'python3', '-m', 'pip', '--quiet', '--no-cache-dir', '--python',
            f'{VENV}/bin/python', 'install', '--no-index', '--find-links',
            '/tmp/wheels',  # noqa: S108 - of the unpacked root
            f'/tmp/wheels/{ours.name}',  # noqa: S108
        )  # fmt: skip
    finally:
        shutil.rmtree(staged)
    say(f'{ours.name} installed')
    return built
