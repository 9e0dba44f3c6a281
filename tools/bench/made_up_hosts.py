"""The hosts and guests of a replay, as Nova's objects."""

from typing import Any

from nova import objects

SOCKETS, CORES, THREADS, L3_CORES = 2, 64, 2, 8
ALL = SOCKETS * CORES
MEMORY_MIB = 2048 * 1024


def threads(core: int) -> set[int]:
    return {core + number * ALL for number in range(THREADS)}


def l3_of(cpu: int) -> int:
    return cpu % ALL // L3_CORES


DOMAINS = tuple(
    frozenset(c for c in range(ALL * THREADS) if l3_of(c) == domain)
    for domain in range(ALL // L3_CORES)
)


def topology(nps: int, stock_order: bool) -> Any:
    """Return an empty host as the libvirt driver shows it."""
    cells: list[Any] = []
    number = SOCKETS * nps
    size = ALL // number
    for cell in range(number):
        cores = range(cell * size, (cell + 1) * size)
        siblings = [threads(core) for core in cores]
        if stock_order:
            # As LibvirtDriver._get_host_numa_topology: sorted() of sets.
            siblings = sorted(
                map(set, {tuple(sorted(each)) for each in siblings})
            )
        memory = MEMORY_MIB // number
        huge = int(memory * 0.95) // 2
        cells.append(
            objects.NUMACell(
                id=cell,
                cpuset=set(),
                pcpuset=set().union(*siblings),
                memory=memory,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                siblings=siblings,
                mempages=[
                    objects.NUMAPagesTopology(
                        size_kb=4,
                        total=(memory - huge * 2) * 256,
                        used=0,
                        reserved=0,
                    ),
                    objects.NUMAPagesTopology(
                        size_kb=2048, total=huge, used=0, reserved=0
                    ),
                ],
                socket=cell // nps,
            )
        )
    return objects.NUMATopology(cells=cells)


def nodes_of(vcpus: int, cell_pcpus: int) -> int:
    nodes = 1
    while vcpus / nodes > cell_pcpus:
        nodes *= 2
    return nodes


def guest(vcpus: int, memory_mib: int, cell_pcpus: int, policy: str) -> Any:
    """Return the topology that a VM asks for."""
    nodes = nodes_of(vcpus, cell_pcpus)
    each = vcpus // nodes
    memory = max(2, memory_mib // nodes // 2 * 2)
    return objects.InstanceNUMATopology(
        cells=[
            objects.InstanceNUMACell(
                id=node,
                cpuset=set(),
                pcpuset=set(range(node * each, (node + 1) * each)),
                memory=memory,
                pagesize=2048,
                cpu_policy='dedicated',
                cpu_thread_policy=policy,
                cpuset_reserved=None,
            )
            for node in range(nodes)
        ]
    )
