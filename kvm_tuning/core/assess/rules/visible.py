"""What the guest is told about its vCPUs."""

from collections.abc import Iterator

from kvm_tuning.core.assess.case import Case, counted, ids
from kvm_tuning.core.assess.finding import Finding, Where, found


def siblings(case: Case) -> Iterator[Finding]:
    """Yield that the guest's thread siblings are not the host's."""
    where, setup = case.place, case.guest.setup
    if not where.fixed:
        return
    core = {cpu: case.host.inventory.cpu[cpu].core for cpu in where.pcpus}
    pairs = sum(1 for cpu in where.pcpus if core[cpu] & where.pcpus - {cpu})
    threads = setup.threads or 1
    if threads == 1 and pairs:
        yield found(
            'siblings-hidden',
            f'{pairs} of {counted(setup.vcpus, "vCPU")} are on thread '
            f'siblings, the guest sees 1 thread a core',
            Where(where.pcpus),
        )
    if threads == 1:
        return
    pcpus = [min(each) for each in where.vcpus]
    false = [
        first
        for first in range(0, len(pcpus) - threads + 1, threads)
        if not core[pcpus[first]].issuperset(pcpus[first : first + threads])
    ]
    if false:
        yield found(
            'siblings-invented',
            f'{len(false)} of {counted(len(pcpus) // threads, "core")} of '
            f'the guest are on several cores of the host; first: vCPU '
            f'{false[0]}',
            Where(where.pcpus),
        )


def hint(case: Case) -> Iterator[Finding]:
    """Yield that the guest is told the wrong thing about its pCPUs, or
    nothing where its pCPUs are its own.
    """
    where, host, setup = case.place, case.host, case.guest.setup
    if not setup.kvm:
        return
    theirs = host.others(where.held, case.guest.key)
    if where.fixed and not theirs and not setup.hint_dedicated:
        yield found(
            'hint-dedicated-missing',
            f'{counted(len(where.vcpus), "vCPU")} on as many pCPUs that no '
            f'other guest is pinned to',
        )
    if setup.hint_dedicated and where.held != where.pcpus:
        yield found(
            'hint-dedicated-wrong',
            f'{counted(len(where.vcpus), "vCPU")} may run on '
            f'{counted(len(where.pcpus), "pCPU")}',
            Where(where.pcpus),
        )
    elif setup.hint_dedicated and theirs:
        yield found(
            'hint-dedicated-wrong',
            f'another guest is pinned to {ids("pCPU", theirs)}',
            Where(frozenset(theirs)),
        )
