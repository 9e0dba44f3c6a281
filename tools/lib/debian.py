"""Debian, unpacked into a folder: for the tools beside."""

from collections.abc import Iterable
from pathlib import Path
import subprocess

from tools.lib.checkout import ToolError

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
#: Seconds until the packages must be unpacked.
DEADLINE = 1800


def mirror() -> str:
    """Return where this machine takes Debian's packages from.

    :raises ToolError: apt has no list of them.
    """
    listed = subprocess.run(
        ['apt-get', 'indextargets', '--format',
         '$(REPO_URI) $(ORIGIN) $(LABEL)', 'Created-By: Packages'],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        uri, _, of = line.partition(' ')
        if of == 'Debian Debian':
            return uri.rstrip('/')
    raise ToolError(
        'apt has no list of Debian packages: run apt-get update, on Debian'
    )


def unpack(suite: str, packages: Iterable[str], root: Path) -> None:
    """Unpack a suite's packages, and what they need, into ``root``.

    :raises ToolError: mmdebstrap fails, or takes too long.
    """
    try:
        done = subprocess.run(
            [
                'mmdebstrap', '--quiet', '--mode=root', '--variant=apt',
                '--architectures=amd64',
                '--aptopt=APT::Install-Recommends "false"',
                '--aptopt=Acquire::Languages "none"',
                # A frozen mirror is as good, and clocks may differ.
                '--aptopt=Acquire::Check-Valid-Until "false"',
                '--aptopt=Acquire::Check-Date "false"',
                '--dpkgopt=path-exclude=/usr/share/man/*',
                '--dpkgopt=path-exclude=/usr/share/doc/*',
                '--dpkgopt=path-exclude=/usr/share/locale/*',
                '--dpkgopt=force-unsafe-io',
                f'--include={",".join(packages)}',
                suite, str(root),
                f'deb [signed-by={KEYRING}] {mirror()} {suite} main',
            ],
            capture_output=True, text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f'Debian {suite} was not unpacked within {DEADLINE} s'
        ) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise ToolError(f'mmdebstrap failed ({done.returncode}): {words}')
