"""Memory compaction in the background.

The kernel's Documentation/admin-guide/sysctl/vm.rst,
``compaction_proactiveness``: 0 to 100, from Linux 5.9 on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Item, Note, Value, sysfs

CONCERN = 'compaction'
PATH = 'proc/sys/vm/compaction_proactiveness'


@dataclass(frozen=True, slots=True)
class Wanted:
    """``[compaction]``; None: not configured."""

    proactiveness: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the kernel shows; None: it has no such file."""

    proactiveness: Value


def read(host: Host) -> State:
    """Return what the kernel shows."""
    return State(host.tree.text(PATH))


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield what ``wanted`` takes."""
    if wanted.proactiveness is None:
        return
    if state.proactiveness is None:
        yield Note(
            CONCERN, 'n/a: proactiveness: this kernel is older than 5.9'
        )
        return
    yield sysfs(
        CONCERN,
        PATH,
        state.proactiveness,
        str(wanted.proactiveness),
        'how much free memory is compacted in the background',
        title='compaction proactiveness',
    )
