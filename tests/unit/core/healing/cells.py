"""NUMA cells to heal: by hand, and generated."""

from hypothesis import strategies as st

from kvm_tuning.core.healing.cell import Cell, Part


def domains(count, cores, threads=2, first=0):
    """Return ``count`` L3 domains of ``cores`` cores, numbered as Linux."""
    all_ = count * cores
    return [
        [
            tuple(first + core + all_ * thread for thread in range(threads))
            for core in range(domain * cores, (domain + 1) * cores)
        ]
        for domain in range(count)
    ]


def part(guest, *cpus, **more):
    """Return a part whose vCPUs 0, 1, ... are on these pCPUs."""
    return Part(guest, dict(enumerate(cpus)), **more)


@st.composite
def cells(draw, even=False):
    """Return a NUMA cell with guests wherever chance has put them.

    :param even: all domains are equal, and everybody may move.
    """
    threads = draw(st.sampled_from((1, 2) if even else (1, 2, 2, 4)))
    count = draw(st.integers(1, 4))
    sizes = (
        [draw(st.integers(1, 5))] * count
        if even
        else [draw(st.integers(1, 5)) for _ in range(count)]
    )
    cpu, made = 0, []
    for size in sizes:
        cores = []
        for _ in range(size):
            some = threads
            if not even and draw(st.integers(0, 9)) == 0:
                some = draw(st.integers(1, threads))
            cores.append(tuple(range(cpu, cpu + some)))
            cpu += some
        made.append(cores)
    whole = draw(st.permutations([core for d in made for core in d]))
    parts, waiting = [], list(whole)
    # Isolated guests first: each vCPU takes a core.
    while waiting and draw(st.integers(0, 4)) == 0:
        cores = [
            waiting.pop() for _ in range(draw(st.integers(1, 2))) if waiting
        ]
        parts.append(
            part(
                f'g{len(parts)}',
                *(core[0] for core in cores),
                isolated=True,
                fixed=not even and draw(st.integers(0, 5)) == 0,
            )
        )
    left = [cpu for core in waiting for cpu in core]
    if draw(st.booleans()):
        left = draw(st.permutations(left))
    keep = draw(st.integers(0, len(left)))
    left = left[keep // 4 :]
    while left:
        size = min(len(left), draw(st.sampled_from((1, 2, 2, 3, 4, 6, 8))))
        cpus, left = left[:size], left[size:]
        kind = draw(st.integers(0, 9))
        parts.append(
            part(
                f'g{len(parts)}',
                *cpus,
                fixed=not even and kind == 0,
                grouped=not even and kind == 1,
            )
        )
    return Cell(made, parts, threads)
