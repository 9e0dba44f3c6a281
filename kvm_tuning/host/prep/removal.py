"""What this package has written on a host, besides settings in the journal.

Each file is known by its path and by a line that only ours have. It does not
matter how much of an installation there is: what is not there needs nothing,
and what somebody else wrote is left and named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import os

from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep import boot_units, provision, undone

_UNITS = 'etc/systemd/system'
_CLOUD = 'etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg'
_MODULE = 'cc_kvm_tuning.py'
_PYTHON = 'usr/lib/python3/dist-packages'
_STATE = 'var/lib/kvm-tuning'

#: What each of our files has in it, by its path.
_FILES = {
    **dict.fromkeys(boot_units.SHIPPED.values(), 'kvm-tuning'),
    'etc/nova/rootwrap.d/kvm-tuning.filters': 'kvm-tuning',
    provision.CONFIGURATION: 'Written by kvm-tuning host provision',
    _CLOUD: 'kvm_tuning',
    f'{_PYTHON}/{_MODULE}': "cloud-init's module of kvm-tuning",
    provision.STATE: '"step"',
    f'{_STATE}/rebalance-history.json': '"exchanges"',
}
#: An exchange of pCPUs between guests that is unfinished.
_EXCHANGE = 'rebalance.json'
#: How a drop-in of the ready gate begins: cloud-init's, and the sample.
_GATES = (
    '# Written by cloud-init (kvm-tuning): the ready gate.',
    '# The ready gate. Copy it to',
)
# What only names where a host's own settings are: they are the operator's.
_OPERATORS = 'etc/kvm-tuning'
_COMPUTE = 'kvm_tuning.KvmTuningDriver'


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that this package has written, or that names it."""

    path: str
    #: Why it is left; None: it is to be removed.
    left: str | None = None


def find(tree: Tree) -> list[Found]:
    """Return what is there, in the order in which it is to be removed."""
    return [
        *_gates(tree),
        *_links(tree),
        *(
            found
            for path, mark in _FILES.items()
            for found in _file(tree, path, mark)
        ),
        *_exchange(tree),
        *_operators(tree),
    ]


def remove(system: System, found: Found) -> None:
    """Remove one thing, and the directory of a drop-in that is empty then.

    :raises OSError: it cannot be removed.
    """
    system.remove(found.path)
    folder = os.path.dirname(found.path)
    if folder.startswith(f'{_UNITS}/') and folder.endswith('.d'):
        _drop_empty(system, folder)


def forget(system: System) -> None:
    """Remove the directories that are empty now.

    :raises OSError: one cannot be removed.
    """
    tree = system.tree()
    names = set(tree.names(_STATE))
    if names <= {'lock'}:
        system.remove(undone.PATH)
        system.remove(f'{_STATE}/lock')
        _drop_empty(system, _STATE)
    for folder in (f'{_OPERATORS}/conf.d', _OPERATORS):
        if not tree.names(folder):
            _drop_empty(system, folder)


def _file(tree: Tree, path: str, mark: str) -> Iterator[Found]:
    folder, _, name = path.rpartition('/')
    if name not in tree.names(folder):
        return
    text = tree.raw(path, limit=LARGE_BYTES)
    # A link to a package that is gone leads nowhere.
    dangling = text is None and tree.target(path) is not None
    if dangling or (text is not None and mark.encode() in text):
        yield Found(path)
    else:
        yield Found(path, 'kvm-tuning did not write it')


def _exchange(tree: Tree) -> Iterator[Found]:
    if _EXCHANGE in tree.names(_STATE):
        yield Found(
            f'{_STATE}/{_EXCHANGE}',
            'an exchange of pCPUs is unfinished: kvm-tuning host rebalance '
            '--resume finishes it, --undo takes it back',
        )


def _gates(tree: Tree) -> Iterator[Found]:
    for folder in tree.names(_UNITS):
        if not folder.endswith('.d'):
            continue
        for name in tree.names(f'{_UNITS}/{folder}'):
            path = f'{_UNITS}/{folder}/{name}'
            if (tree.text(path) or '').startswith(_GATES):
                yield Found(path)


def _links(tree: Tree) -> Iterator[Found]:
    """Yield the links by which systemd starts our units."""
    units = {
        os.path.basename(path)
        for path in provision.SHIPPED.values()
        if path.startswith(_UNITS)
    }
    for folder in tree.names(_UNITS):
        if folder.endswith('.wants'):
            for name in tree.names(f'{_UNITS}/{folder}'):
                if name in units:
                    yield Found(f'{_UNITS}/{folder}/{name}')


def _operators(tree: Tree) -> Iterator[Found]:
    """Yield what names this package and is the operator's to change."""
    for folder in (_OPERATORS, f'{_OPERATORS}/conf.d'):
        for name in tree.names(folder):
            path = f'{folder}/{name}'
            if name.endswith('.conf') and path != provision.CONFIGURATION:
                yield Found(path, 'you wrote it')
    for folder in ('etc/nova', 'etc/nova/nova.conf.d'):
        for name in tree.names(folder):
            path = f'{folder}/{name}'
            if name.endswith('.conf') and _COMPUTE in (tree.text(path) or ''):
                yield Found(
                    path,
                    f'it names {_COMPUTE}: set compute_driver = '
                    f'libvirt.LibvirtDriver before nova-compute starts again',
                )


def _drop_empty(system: System, folder: str) -> None:
    path = os.path.join(system.root, folder)
    real = os.path.isdir(path) and not os.path.islink(path)
    if real and not os.listdir(path):
        os.rmdir(path)
