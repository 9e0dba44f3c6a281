"""cloud-init's configuration, merged by cloud-init's own code.

Which of its files has the last word depends on more than their names: keys
such as ``merge_how``, user-data, vendor-data, the kernel's command line, what
the datasource adds. So cloud-init is asked, in its own Python.
"""

from collections.abc import Mapping
import json
import os
import subprocess
from typing import Any

import yaml

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree

PROGRAM = 'usr/bin/cloud-init'
FILE = 'etc/cloud/cloud.cfg'
#: What its generator writes at a boot in which it runs.
RUNS = 'run/cloud-init/enabled'

# What has cloud-init merge in another way.
_MERGES = frozenset({'merge_how', 'merge_type', 'conf_d'})

_PYTHON = '/usr/bin/python3'
_SECONDS = 60.0

# The same in 22.4 and 25.1. It writes nothing and looks for no datasource.
_OF_THIS_HOST = """\
import json
from cloudinit import stages
init = stages.Init()
init.read_cfg()
print(json.dumps(init.cfg, default=str))
"""
# What lies in another root has no instance.
_OF_A_ROOT = """\
import json, sys
from cloudinit import util
print(json.dumps(util.read_conf_with_confd(sys.argv[1]), default=str))
"""


def merged(root: str = '/') -> Mapping[str, Any]:
    """Return cloud-init's configuration as its modules get it.

    :raises ConfigInvalid: it cannot be read.
    """
    if Tree('/').raw(PROGRAM, limit=LARGE_BYTES) is None:
        return _without_cloud_init(root)
    if os.path.realpath(root) == '/':
        command = [_python(root), '-I', '-c', _OF_THIS_HOST]
    else:
        command = [
            _python('/'), '-I', '-c', _OF_A_ROOT, os.path.join(root, FILE),
        ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_SECONDS,
            check=True,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = str(getattr(error, 'stderr', '') or error).strip()
        last = said.splitlines()[-1] if said else 'it says nothing'
        raise ConfigInvalid(
            f"cloud-init's configuration below {os.path.join(root, FILE)} "
            f'cannot be merged by cloud-init: {last}'
        ) from error
    if not isinstance(found, dict):
        raise ConfigInvalid(
            f"cloud-init's configuration below {os.path.join(root, FILE)} is "
            f'not a mapping'
        )
    return found


def _without_cloud_init(root: str) -> Mapping[str, Any]:
    """Return the files of another root merged, where this machine has no
    cloud-init: a later file replaces the keys of an earlier one.

    :raises ConfigInvalid: a file cannot be read, or says how to merge.
    """
    tree = Tree(root)
    folder = f'{FILE}.d'
    paths = [FILE] + [
        f'{folder}/{name}'
        for name in sorted(tree.names(folder))
        if name.endswith('.cfg')
    ]
    found: dict[str, Any] = {}
    for path in paths:
        text = tree.text(path, limit=LARGE_BYTES)
        if text is None and path == FILE:
            raise ConfigInvalid(f'there is no {os.path.join(root, path)}')
        try:
            part = yaml.safe_load(text or '') or {}
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigInvalid(
                f'/{path} cannot be read: {" ".join(str(error).split())}'
            ) from error
        if not isinstance(part, dict) or part.keys() & _MERGES:
            raise ConfigInvalid(
                f'/{path} can only be merged by cloud-init, which is not '
                f'installed here: run this on the machine itself'
            )
        found |= part
    return found


def _python(root: str) -> str:
    """Return the Python that cloud-init runs with: its first line names it."""
    first, _, _rest = (Tree(root).text(PROGRAM) or '').partition('\n')
    words = first.removeprefix('#!').split()
    if (
        first.startswith('#!')
        and words
        and os.path.basename(words[0]).startswith('python')
    ):
        return words[0]
    return _PYTHON
