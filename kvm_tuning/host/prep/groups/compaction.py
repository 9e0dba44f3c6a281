"""``[compaction]``: memory compaction in the background.

See ``compaction_proactiveness`` in the kernel's
Documentation/admin-guide/sysctl/vm.rst: 0 to 100, since Linux 5.9.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Item, Note, Value, sysfs
from kvm_tuning.host.prep.groups.group import Group, Rivals

CONCERN = 'compaction'
PATH = 'proc/sys/vm/compaction_proactiveness'

OPTIONS = (
    cfg.IntOpt(
        'proactiveness',
        min=0,
        max=100,
        help="""
How much the kernel compacts free memory in the background, ahead of need. 0
turns it off, which spares latency-critical guests its interruptions; the
kernel's own default is 20. Kernels before 5.9 have no such setting. Unset:
not touched.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted value; None: not configured."""

    proactiveness: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The kernel's value; None: the kernel does not have the file."""

    proactiveness: Value


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    found = Wanted(conf.compaction.proactiveness)
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Read the kernel's value."""
    return State(host.tree.text(PATH))


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals and notes for ``wanted``."""
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
        'sets how much free memory is compacted in the background',
        title='compaction proactiveness',
    )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(tuned=r'compaction_proactiveness', attributes=(PATH,)),
    persisted='the unit, at each boot',
    undone='the former number',
)
