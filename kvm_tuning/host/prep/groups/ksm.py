"""``[ksm]``: kernel same-page merging, across NUMA cells or within them.

See the kernel's Documentation/admin-guide/mm/ksm.rst: writing 2 to ``run``
stops merging and unmerges all pages; ``merge_across_nodes`` can be changed
only while nothing is merged. Unmerging needs memory for every shared page;
when it runs out, the kernel stops half-way or the OOM killer runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import errno
from typing import Any

from oslo_config import cfg

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    DIRECT,
    Address,
    Companion,
    Goal,
    Item,
    Note,
    Refusal,
    Route,
    Terms,
    Value,
    setting,
    sysfs,
)
from kvm_tuning.host.prep.groups.group import Group, Rivals, Way
from kvm_tuning.host.prep.kinds import services

DIRECTORY = 'sys/kernel/mm/ksm'
CONCERN = 'ksm'
RUN = f'{DIRECTORY}/run'
MERGE = f'{DIRECTORY}/merge_across_nodes'

#: Services of RHEL and Debian that control KSM, in the order of stopping.
SERVICES = ('ksmtuned.service', 'ksm.service')

#: Extra memory for other allocations while pages are unmerged, in percent of
#: what unmerging needs.
_SPARE_PERCENT = 20

OPTIONS = (
    cfg.StrOpt(
        'run',
        choices=('off', 'on'),
        help="""
Whether the kernel merges equal pages of guests. ``off`` parts the pages that
are merged already, which needs memory for all of them: it is refused when
there is not enough. Merging trades CPU time, and a possible side channel
between guests, for memory. Huge pages of hugetlbfs are never merged. A guest
can be kept out with ``kvm:page_sharing=false``. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'merge_across_nodes',
        help="""
Whether pages of different NUMA cells may be merged. With ``false`` memory of
a guest stays in its cell. It can only be changed while nothing is merged, so
all pages are parted first. Unset: not touched.
""",
    ),
    cfg.BoolOpt(
        'stop_ksmtuned',
        default=False,
        help="""
Whether ksmtuned and its unit ksm.service are stopped and disabled. They turn
merging on and off by themselves, whatever ``run`` says.
""",
    ),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted values; None: not configured."""

    run: bool | None = None
    merge_across_nodes: bool | None = None
    #: Whether to turn off ksmtuned, which sets ``run`` as it likes.
    stop_ksmtuned: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """KSM's present values; None: the kernel does not have the file."""

    run: str | None
    merge_across_nodes: str | None
    #: The state of each of :data:`SERVICES` that is installed.
    services: Mapping[str, str]
    #: Number of merged pages.
    shared: int = 0


def wanted(conf: Any) -> Wanted | None:
    """Return what the configuration wants; None: nothing."""
    group = conf.ksm
    found = Wanted(
        None if group.run is None else group.run == 'on',
        group.merge_across_nodes,
        group.stop_ksmtuned,
    )
    return None if found == Wanted() else found


def read(host: Host) -> State:
    """Read KSM's present values."""
    return State(
        host.tree.text(RUN),
        host.tree.text(MERGE),
        {
            name: value
            for name in SERVICES
            if (value := services.Service().read(host, name)) is not None
        },
        host.tree.number(f'{DIRECTORY}/pages_shared') or 0,
    )


def plan(wanted: Wanted, state: State) -> Iterator[Item]:
    """Yield the goals and notes for ``wanted``."""
    if wanted == Wanted():
        return
    for name, found in state.services.items():
        if wanted.stop_ksmtuned:
            yield Goal(
                setting(SettingKind.SERVICE, name, services.OFF),
                CONCERN,
                found,
                'it turns merging on and off on its own',
                title=name,
            )
        elif found != services.OFF and wanted.run is not None:
            yield Note(
                CONCERN,
                f'{name} is {found} and sets run on its own; '
                f'stop_ksmtuned = true turns it off',
            )
    if state.run is None:
        yield Note(CONCERN, 'n/a: this kernel is built without KSM')
        return
    if wanted.merge_across_nodes is not None:
        if state.merge_across_nodes is None:
            yield Note(
                CONCERN,
                'n/a: merge_across_nodes: this kernel is built without NUMA',
            )
        else:
            yield sysfs(
                CONCERN,
                MERGE,
                state.merge_across_nodes,
                str(int(wanted.merge_across_nodes)),
                'pages of different NUMA cells are merged'
                if wanted.merge_across_nodes
                else 'only pages of the same NUMA cell are merged',
                title='KSM merge_across_nodes',
            )
    if wanted.run is not None:
        yield sysfs(
            CONCERN,
            RUN,
            state.run,
            _number(wanted.run, state),
            'equal pages of guests are merged'
            if wanted.run
            else 'no pages are merged, and merged pages are split',
            title='KSM run',
        )


def _number(run: bool, state: State) -> str:
    # Documentation/admin-guide/mm/ksm.rst: 0 leaves pages merged, 2 unmerges
    # them. After a 0 pages may still be merged; after a 2 nothing is left to
    # do.
    left = state.run == '0' and state.shared > 0
    if not run and (left or state.run == '2'):
        return '2'
    return str(int(run))


def route(
    host: Host, terms: Terms, address: Address, found: Value, target: Value
) -> Route:
    """Return the route of a file in :data:`DIRECTORY`."""
    shared = host.tree.number(f'{DIRECTORY}/pages_shared') or 0
    unmerges = shared > 0 and (
        address[1] == MERGE or (address[1] == RUN and target in ('0', '2'))
    )
    if not unmerges:
        return DIRECT
    refusals = tuple(_short(host))
    interrupts = (
        f'all {shared} merged pages are split; guests slow down meanwhile',
    )
    busy = {errno.EBUSY: 'pages were merged again in the meantime'}
    if address[1] == RUN:
        return Route(
            via=('2',) if target == '0' else (),
            interrupts=interrupts,
            refusals=refusals,
            timeout=terms.write_timeout,
        )
    return Route(
        companions=(Companion(('sysfs', RUN), '2'),),
        interrupts=interrupts,
        refusals=refusals,
        timeout=terms.write_timeout,
        meanings=busy,
    )


def _short(host: Host) -> Iterator[Refusal]:
    """Yield a refusal when unmerging all pages could run out of memory."""
    sharing = host.tree.number(f'{DIRECTORY}/pages_sharing') or 0
    needed_kib = sharing * host.inventory.page_size_kib
    needed_kib += needed_kib * _SPARE_PERCENT // 100
    free_kib = host.meminfo_kib('MemAvailable')
    if free_kib is None:
        yield Refusal(
            CONCERN,
            'unmerging',
            f'needs up to {needed_kib} KiB, and /proc/meminfo does not show '
            f'how much is available',
        )
    elif needed_kib > free_kib:
        yield Refusal(
            CONCERN,
            'unmerging',
            f'needs up to {needed_kib} KiB, and only {free_kib} KiB are '
            f'available; stop or migrate guests first',
        )


GROUP = Group(
    CONCERN,
    OPTIONS,
    wanted,
    read,
    plan,
    rivals=Rivals(
        tuned=r'/mm/ksm/',
        daemons={f'{DIRECTORY}/': 'ksmtuned'},
        attributes=(rf'{DIRECTORY}/(run|merge_across_nodes)',),
    ),
    persisted='the unit, at each boot; services stay disabled',
    undone='the former values; services are enabled and started again',
    ways=(Way(SettingKind.SYSFS, rf'{DIRECTORY}/.*', route),),
)
