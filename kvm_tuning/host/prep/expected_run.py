"""Whether cloud-init should have run our module at this boot, and has not.

The module is skipped in silence where cloud-init's list of modules does not
name it, or its Python no longer finds it. The host then has the document, and
nobody has looked at it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host.access import cloud_init
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep import provision

#: cloud-config's key of all that is ours, and the module's name.
KEY = 'kvm_tuning'

_FOLDER = f'{cloud_init.FILE}.d'
# What an instance's data has given, besides the files of the host.
_INSTANCE = 'var/lib/cloud/instance'
_INSTANCE_FILES = (
    'cloud-config.txt',
    'vendor-cloud-config.txt',
    'vendor2-cloud-config.txt',
)
_LISTS = (
    'cloud_init_modules',
    'cloud_config_modules',
    'cloud_final_modules',
)


def missing(root: str, host: Host) -> str | None:
    """Return why a document has not been looked at in this boot; None when
    it has been, or there is none.
    """
    tree = host.tree
    if not host.boot_id or tree.raw(cloud_init.RUNS) is None:
        return None
    reached = provision.state(tree)
    if reached is not None and reached.ran == host.boot_id:
        return None
    # cloud-init is asked only where one of its files has the word: to ask
    # it takes a second, and this runs whenever nova-compute starts.
    if not any(KEY in text for text in _texts(tree)):
        return None
    try:
        found = cloud_init.merged(root)
    except ConfigInvalid as error:
        return f'whether cloud-init is to set this host up is unknown: {error}'
    if found.get(KEY) is None:
        return None
    if KEY not in _modules(found):
        return (
            f'cloud-init has the key {KEY} and does not run its module, which '
            f'none of its lists ({", ".join(_LISTS)}) names: "kvm-tuning host '
            f'cloud-init" prints one that does'
        )
    return (
        f'cloud-init has the key {KEY}, and its module has not ended at this '
        f'boot: see /var/log/cloud-init.log'
    )


def _modules(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of all modules that cloud-init runs."""
    for name in _LISTS:
        for each in found.get(name) or ():
            # A name, or a list of a name, a frequency and arguments.
            word = each[0] if isinstance(each, list) and each else each
            yield str(word).replace('-', '_').removeprefix('cc_')


def _texts(tree: Tree) -> Iterator[str]:
    paths = [cloud_init.FILE]
    paths += [f'{_FOLDER}/{name}' for name in tree.names(_FOLDER)]
    paths += [f'{_INSTANCE}/{name}' for name in _INSTANCE_FILES]
    for path in paths:
        yield tree.text(path, limit=LARGE_BYTES) or ''
