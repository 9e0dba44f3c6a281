"""How vCPUs run, and where the threads that serve the guest may run."""

from collections.abc import Iterable, Iterator

from kvm_tuning.core import cpuset
from kvm_tuning.core.assess.case import Case, Unseen, counted, ids, seen
from kvm_tuning.core.assess.finding import Finding, Where, found
from kvm_tuning.core.assess.guest import Activity
from kvm_tuning.core.observed import Kind, Thread, Unknown

#: A vCPU that waits for less than this share of its time, in per cent, waits
#: for what interrupts any thread.
WAITS_PERCENT = 5
#: A vCPU that ran for less than this share of the time, in per cent, shows
#: nothing.
_RUNS_PERCENT = 1
_NS = 1_000_000_000

#: Codes of each kind of thread: on the vCPUs' pCPUs, and in another cell.
_CODES = {
    Kind.EMULATOR: ('emulator-on-vcpus', 'emulator-remote'),
    Kind.IOTHREAD: ('iothread-on-vcpus', 'iothread-remote'),
    Kind.VHOST: ('vhost-on-vcpus', 'vhost-remote'),
}


def moves(case: Case) -> Iterator[Finding]:
    """Yield that vCPUs moved between pCPUs that do not share an L3 cache, or
    over all of a host.
    """
    guest, inventory = case.guest, case.host.inventory
    where = case.place
    on = [each for each in case.host.domains if each & where.pcpus]
    local = len(on) == 1 and where.pcpus != inventory.online
    if where.fixed or where.held == where.pcpus or local:
        return
    if not guest.seconds:
        raise Unseen(
            Unknown('moves are counted between two samples', '--seconds')
        )
    count, busiest, uncounted = 0, 0, False
    for _thread, activity in _vcpus(case):
        moved = activity.moves or 0
        uncounted = uncounted or activity.moves is None
        count += moved
        busiest = max(busiest, moved)
    if count:
        yield found(
            'vcpus-migrate',
            f'{counted(count, "move")} of {counted(guest.setup.vcpus, "vCPU")}'
            f' in {guest.seconds:g} s over {counted(len(where.pcpus), "pCPU")}'
            f'; {busiest} of one vCPU',
            Where(where.pcpus),
        )
    elif uncounted:
        raise Unseen(
            Unknown('the kernel does not count moves', 'CONFIG_SCHED_DEBUG')
        )


def waits(case: Case) -> Iterator[Finding]:
    """Yield vCPUs that were ready to run and did not."""
    guest = case.guest
    least_ns = guest.seconds * _NS * _RUNS_PERCENT / 100
    waiting = []
    for thread, activity in _vcpus(case):
        wanted = activity.run_ns + activity.wait_ns
        if not wanted or wanted < least_ns:
            continue
        percent = 100 * activity.wait_ns // wanted
        if percent >= WAITS_PERCENT:
            waiting.append((percent, thread.index or 0))
    if waiting:
        most, number = max(waiting)
        when = (
            f'in {guest.seconds:g} s'
            if guest.seconds
            else 'since they were started'
        )
        yield found(
            'vcpus-wait',
            f'{counted(len(waiting), "vCPU")} waited for '
            f'{WAITS_PERCENT} % or more of the time that they wanted to run '
            f'{when}; vCPU {number}: {most} %',
            Where(case.place.pcpus),
        )


def _vcpus(case: Case) -> list[tuple[Thread, Activity]]:
    activity = seen(case.guest.activity)
    return [
        (each, activity[each.tid])
        for each in case.threads(Kind.VCPU)
        if each.tid in activity
    ]


def emulator(case: Case) -> Iterator[Finding]:
    """Yield emulator threads in the way of vCPUs, or away from them."""
    yield from _helpers(case, Kind.EMULATOR)


def iothreads(case: Case) -> Iterator[Finding]:
    """Yield iothreads in the way of vCPUs, or away from them."""
    yield from _helpers(case, Kind.IOTHREAD)


def vhost(case: Case) -> Iterator[Finding]:
    """Yield vhost threads in the way of vCPUs, or away from them."""
    yield from _helpers(case, Kind.VHOST)


def _helpers(case: Case, kind: Kind) -> Iterator[Finding]:
    where, inventory = case.place, case.host.inventory
    allowed = [
        cpus & inventory.online
        for cpus in _allowed(case, kind)
        if cpus & inventory.online
    ]
    on, remote = _CODES[kind]
    # Where vCPUs float, helpers that do so, too, take nothing from them.
    in_the_way = [cpus & where.held for cpus in allowed if cpus & where.held]
    if in_the_way:
        pcpus = frozenset[int]().union(*in_the_way)
        yield found(
            on,
            f'{_of(len(in_the_way), len(allowed), kind)} may run on '
            f'{counted(len(pcpus), "pCPU")} of vCPUs '
            f'({cpuset.format(pcpus)})',
            Where(pcpus),
        )
    away = [
        cells
        for cpus in allowed
        if not (cells := _cells(case, cpus)) & where.cells
    ]
    if away:
        cells = frozenset[int]().union(*away)
        yield found(
            remote,
            f'{_of(len(away), len(allowed), kind)} on '
            f'{ids("NUMA cell", cells)}, vCPUs on '
            f'{ids("NUMA cell", where.cells)}',
            Where(cells=cells),
        )


def _allowed(case: Case, kind: Kind) -> list[frozenset[int]]:
    """Return where each thread may run; by its document if there is nothing
    else.
    """
    setup = case.guest.setup
    if case.guest.pid is None:
        if kind is Kind.IOTHREAD and setup.iothread_pins:
            return list(setup.iothread_pins.values())
        if kind is Kind.IOTHREAD and not setup.iothreads:
            return []
        if kind is Kind.EMULATOR and setup.emulator_pin is not None:
            return [setup.emulator_pin]
        raise Unseen(
            Unknown(
                f'the document pins no {kind.value} thread',
                "the guest's process in /proc",
            )
        )
    return [seen(each.cpus) for each in case.threads(kind)]


def _cells(case: Case, cpus: Iterable[int]) -> frozenset[int]:
    return frozenset(case.host.inventory.cpu[cpu].cell for cpu in cpus)


def _of(number: int, all_of: int, kind: Kind) -> str:
    name = kind.value if kind is Kind.IOTHREAD else f'{kind.value} thread'
    return f'{number} of {counted(all_of, name)}'
