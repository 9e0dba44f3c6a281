"""The image of the lab nodes that are compute hosts: with Nova, in a virtual
environment of its own, and without this project, which comes later.
"""

from dataclasses import dataclass
from pathlib import Path
import shutil
import sys

from tools.lab.image import PACKAGES, Image, tool
from tools.lab.places import digest, folder, is_made, made, say, unmade
from tools.lib.checkout import TOP

HERE = Path(__file__).resolve().parent
#: Where Nova is, in the node.
VENV = '/opt/nova'

# Neutron for its agents.
_OPENSTACK = ('nova==34.0.0', 'neutron==29.0.0')
#: The node's Python: Debian 13's.
_PYTHON = '3.13'
# What builds that which has no wheel; what this Python does not have any more.
_BESIDE = ('setuptools<81', 'wheel', 'legacy-cgi')
_CONSTRAINTS = TOP / 'tools/cloud/constraints.txt'
_REQUIREMENTS = TOP / 'requirements.txt'
# Below the unpacked root.
_STAGE = '/tmp/stage'  # noqa: S108


@dataclass(frozen=True)
class NovaImage(Image):
    """An image with Nova."""

    def stamp(self) -> str:
        """Return what the image is made from."""
        return digest(
            [super().stamp(), _nova_stamp(), HERE / 'root',
             HERE / 'nova_image.py']
        )  # fmt: skip

    def furnish(self) -> None:
        """Install Nova, and what a compute host has beside it.

        :raises LabError: a step failed.
        """
        _nova(self)
        tool('cp', '-r', '--no-preserve=ownership', f'{HERE}/root/.',
             str(self.root))  # fmt: skip
        for name in ('instances', 'lock'):
            (self.root / 'var/lib/nova' / name).mkdir(
                parents=True, exist_ok=True
            )
        (self.root / 'var/log/nova').mkdir(exist_ok=True)
        # Guests migrate by TCP, between nodes that nobody else reaches.
        conf = self.root / 'etc/libvirt/libvirtd.conf'
        line = 'auth_tcp = "none"\n'
        if line not in conf.read_text():
            with open(conf, 'a') as file:
                file.write(line)
        self.chroot('systemctl', '-q', 'enable', 'libvirtd-tcp.socket')
        # It finds no seed in most nodes, and does nothing there.
        (self.root / 'etc/cloud/cloud-init.disabled').unlink(missing_ok=True)


#: What compute hosts are started from: with pip and venv, by which an operator
#: installs the project.
NOVA = NovaImage('compute', (*PACKAGES, 'python3-venv'))


def staged(image: Image, wheel: Path) -> Path:
    """Return a folder with what pip makes of a wheel in the node's
    environment, to be put below the node's ``/``: in the node itself this
    takes minutes.

    :raises LabError: pip fails.
    """
    stage = _stage(image)
    shutil.copy(wheel, stage)
    _pip(image, '--no-deps', '--root', f'{_STAGE}/root',
         f'{_STAGE}/{wheel.name}')  # fmt: skip
    return stage / 'root'


def _stage(image: Image) -> Path:
    stage = image.root / _STAGE.lstrip('/')
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    return stage


def _pip(image: Image, *words: str) -> None:
    image.chroot(
        'python3', '-m', 'pip', '--quiet', '--no-cache-dir', '--python',
        f'{VENV}/bin/python', 'install', '--no-index', '--find-links',
        _STAGE, *words,
    )  # fmt: skip


def _nova_stamp() -> str:
    return digest(
        [*_OPENSTACK, *_BESIDE, _PYTHON, _CONSTRAINTS, _REQUIREMENTS]
    )


def _nova(image: Image) -> None:
    """Make the environment, of what is downloaded outside."""
    venv = image.root / VENV.lstrip('/')
    if is_made(venv, _nova_stamp()):
        return
    unmade(venv)
    shutil.rmtree(venv, ignore_errors=True)
    stage = _stage(image)
    shutil.copytree(_wheels(), stage, dirs_exist_ok=True)
    shutil.copy(_CONSTRAINTS, stage / 'constraints.txt')
    shutil.copy(_REQUIREMENTS, stage / 'requirements.txt')
    say(f'installing {" and ".join(_OPENSTACK)}')
    try:
        image.chroot('python3', '-m', 'venv', '--system-site-packages', VENV)
        _pip(
            image, '-c', f'{_STAGE}/constraints.txt',
            '-r', f'{_STAGE}/requirements.txt', *_OPENSTACK, 'setuptools<81',
        )  # fmt: skip
    finally:
        shutil.rmtree(stage)
    made(venv, _nova_stamp())


def _wheels() -> Path:
    """Return a folder with every version of the cloud's constraints, as the
    node's Python can have it. Some have no wheel.
    """
    place = folder() / 'nova-wheels'
    if not is_made(place, _nova_stamp()):
        unmade(place)
        shutil.rmtree(place, ignore_errors=True)
        say('downloading what Nova requires')
        platforms = ('manylinux2014_x86_64', 'manylinux_2_28_x86_64')
        tool(
            sys.executable, '-m', 'pip', '--quiet',
            '--disable-pip-version-check', 'download', '--no-deps',
            '--python-version', _PYTHON,
            *(word for each in platforms for word in ('--platform', each)),
            '--dest', str(place), '-r', str(_CONSTRAINTS),
            *_BESIDE,
        )  # fmt: skip
        made(place, _nova_stamp())
    return place
