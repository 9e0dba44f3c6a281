"""Who else runs where the vCPUs run."""

from collections.abc import Iterator

from kvm_tuning.core import cpuset
from kvm_tuning.core.assess.case import Case, counted, ids, seen, several
from kvm_tuning.core.assess.finding import Finding, Where, found
from kvm_tuning.core.assess.guest import Foreign


def pcpus(case: Case) -> Iterator[Finding]:
    """Yield pCPUs that another guest is pinned to as well, or that a guest
    which is not pinned may take.
    """
    where, host = case.place, case.host
    theirs = host.others(where.held, case.guest.key)
    if theirs:
        yield found(
            'pcpu-shared',
            f'{counted(len(theirs), "pCPU")} ({cpuset.format(theirs)}) also '
            f'of {host.named(_keys(theirs))}',
            Where(frozenset(theirs)),
        )
    over = host.others(where.pcpus - where.held, case.guest.key)
    if over:
        yield found(
            'floats-over-pinned',
            f'vCPUs may run on {counted(len(over), "pCPU")} '
            f'({cpuset.format(over)}) of {host.named(_keys(over))}',
            Where(frozenset(over)),
        )


def own(case: Case) -> Iterator[Finding]:
    """Yield pCPUs to which several vCPUs of the guest are pinned."""
    count: dict[int, int] = {}
    for cpus in case.place.vcpus:
        if len(cpus) == 1:
            count[min(cpus)] = count.get(min(cpus), 0) + 1
    several_on = {pcpu: number for pcpu, number in count.items() if number > 1}
    if several_on:
        yield found(
            'vcpus-on-one-pcpu',
            f'{sum(several_on.values())} vCPUs on {ids("pCPU", several_on)}',
            Where(frozenset(several_on)),
        )


def cores(case: Case) -> Iterator[Finding]:
    """Yield thread siblings of its pCPUs that another guest is pinned to."""
    where, host = case.place, case.host
    siblings = {
        sibling
        for pcpu in where.held
        for sibling in host.inventory.cpu[pcpu].core - where.held
    }
    theirs = host.others(siblings, case.guest.key)
    if theirs:
        yield found(
            'core-shared',
            f'{counted(len(theirs), "thread sibling")} of its pCPUs '
            f'({cpuset.format(theirs)}) of {host.named(_keys(theirs))}',
            Where(frozenset(theirs)),
        )


def foreign(case: Case) -> Iterator[Finding]:
    """Yield processes of others that used CPU time and were last seen on a
    pCPU that the guest is pinned to.
    """
    where = case.place
    if not where.held:
        return
    there: list[Foreign] = [
        each for each in seen(case.host.foreign) if each.pcpu in where.held
    ]
    if there:
        there.sort(key=lambda each: (-each.percent, each.pid))
        names = [
            f'{each.name} ({each.percent} % of pCPU {each.pcpu})'
            for each in there
        ]
        yield found(
            'foreign-threads',
            f'sampled: {several(names)}',
            Where(frozenset(each.pcpu for each in there)),
        )


def _keys(found_on: dict[int, list[str]]) -> set[str]:
    return {key for keys in found_on.values() for key in keys}
