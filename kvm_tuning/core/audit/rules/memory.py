"""The guest's memory: page sizes, cells, allocation, page sharing."""

from collections.abc import Iterable
import re

from kvm_tuning.core import cpuset
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict
from kvm_tuning.core.drift import ABSENT, PRESENT
from kvm_tuning.core.observed import Ram, Unknown

# libvirt's modes and what the kernel's numa_maps calls them. "strict" is
# MPOL_BIND; "preferred" MPOL_PREFERRED, or MPOL_PREFERRED_MANY where QEMU
# and the kernel have it.
_POLICIES = {
    'strict': ('bind',),
    'preferred': ('prefer', 'prefer (many)'),
    'interleave': ('interleave', 'weighted interleave'),
    'restrictive': ('bind', 'default'),
}
_POLICY = re.compile(r'\A([a-z ()]+?)(?:=[a-z|]+)?(?::([\d,-]+))?\Z')
#: The smallest share of the memory that an immediate allocation has in place,
#: as a balloon or a discarded page may have given some back.
_ALLOCATED = 0.99


def _pages(case: Case) -> Verdict:
    """Check that the promised guest cells have huge pages of the promised
    size.
    """
    size = case.number('size')
    cells = _cells(case)
    ram = _ram(case, cells)
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    found: dict[int, int] = {}
    for each in ram:
        found[each.page_kib] = found.get(each.page_kib, 0) + each.size_kib
    text = ', '.join(
        f'{kib // 1024} MiB in pages of {page} KiB'
        for page, kib in sorted(found.items())
    )
    if size is None:
        small = case.inventory.page_size_kib
        return Verdict(all(page > small for page in found), text)
    return Verdict(set(found) == {size}, text)


def _cells(case: Case) -> frozenset[int] | None:
    """Return the guest cells of a ``<page nodeset>``; None for all."""
    text = case.wanted if case.point.name == 'nodeset' else None
    if text is None and case.point.element is not None:
        text = case.point.element.get('nodeset')
    try:
        return None if text is None else cpuset.parse(text)
    except ValueError:
        return None


def _ram(
    case: Case, cells: Iterable[int] | None = None
) -> tuple[Ram, ...] | Unknown:
    """Return the blocks of the guest cells, or of all."""
    ram = case.observed.memory.ram
    if isinstance(ram, Unknown) or cells is None:
        return ram
    # A guest without cells is one cell, 0.
    mine = tuple(r for r in ram if (r.cell or 0) in cells)
    return mine or Unknown(f'no RAM of guest cells {cpuset.format(cells)}')


def _no_huge_pages(case: Case) -> Verdict:
    ram = _ram(case)
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    sizes = sorted({r.page_kib for r in ram})
    text = f'pages of {", ".join(map(str, sizes))} KiB'
    return Verdict(sizes == [case.inventory.page_size_kib], text)


def _hugepages(case: Case) -> Verdict:
    gone = case.wanted == ABSENT and case.point.name == ''
    return _no_huge_pages(case) if gone else _pages(case)


def _policy(case: Case) -> Verdict:
    ram = _bound(case)
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    names = set()
    for each in ram:
        if isinstance(each.policy, Unknown):
            return Verdict.unknown(each.policy)
        match = _POLICY.match(each.policy)
        names.add(match[1] if match else each.policy)
    wanted = _POLICIES.get(case.wanted, (case.wanted,))
    return Verdict(names <= set(wanted), ', '.join(sorted(names)))


def _nodes(case: Case) -> Verdict:
    """Check that the policy names the promised cells and that all memory is
    there.
    """
    wanted = case.cpus
    if isinstance(wanted, Unknown):
        return Verdict.unknown(wanted)
    with_memory = {c.id for c in case.inventory.cells if c.memory_bytes}
    ram = _bound(case)
    if isinstance(ram, Unknown):
        if with_memory == wanted and len(with_memory) == 1:
            return Verdict(True, f'{case.wanted} (the only cell)')
        return Verdict.unknown(ram)
    kib: dict[int, int] = {}
    policies = set()
    for each in ram:
        if isinstance(each.policy, Unknown):
            return Verdict.unknown(each.policy)
        if isinstance(each.nodes_kib, Unknown):
            return Verdict.unknown(each.nodes_kib)
        policies.add(each.policy)
        for node, amount in each.nodes_kib.items():
            kib[node] = kib.get(node, 0) + amount
    text = f'policy {", ".join(sorted(policies))}; ' + (
        ', '.join(f'{a // 1024} MiB on {n}' for n, a in sorted(kib.items()))
        or 'nothing allocated'
    )
    # libvirt's restrictive mode has a cgroup and no policy.
    element = case.point.element
    free = element is not None and element.get('mode') == 'restrictive'
    nodes = {_named(policy) for policy in policies}
    if _each_has_its_own(case):
        # Each cell is bound to its part of what <memory> names.
        nodes = {frozenset().union(*nodes)}
    named = free or nodes <= {wanted}
    strict = all(not p.startswith('prefer') for p in policies)
    there = set(kib) <= wanted
    if named and not there and not strict:
        # Preferred memory may overflow: only the preference is promised.
        return Verdict(True, text)
    return Verdict(named and there, text)


def _bound(case: Case) -> tuple[Ram, ...] | Unknown:
    """Return the blocks that a ``<memory>`` or ``<memnode>`` applies to. A
    ``<memnode>`` takes its guest cell out of ``<memory>``.
    """
    cell = case.number('cellid')
    if cell is not None:
        return _ram(case, {cell})
    ram = _ram(case)
    if isinstance(ram, Unknown):
        return ram
    # Every cell has its own, so <memory> says the same of all.
    return _rest(case, ram) or ram


def _rest(case: Case, ram: tuple[Ram, ...]) -> tuple[Ram, ...]:
    """Return the blocks of the guest cells without a ``<memnode>``."""
    own = {
        each.get('cellid')
        for each in case.domain.root.iterfind('numatune/memnode')
    }
    return tuple(r for r in ram if str(r.cell or 0) not in own)


def _each_has_its_own(case: Case) -> bool:
    ram = _ram(case)
    return (
        case.number('cellid') is None
        and not isinstance(ram, Unknown)
        and not _rest(case, ram)
    )


def _named(policy: str) -> frozenset[int]:
    match = _POLICY.match(policy)
    try:
        return cpuset.parse(match[2] or '') if match else frozenset()
    except ValueError:
        return frozenset()


def _nosharepages(case: Case) -> Verdict:
    """KSM may merge only what has VM_MERGEABLE. Pages that it merged earlier
    count, too; a kernel that hides both leaves the verdict unknown.
    """
    wanted = case.wanted == PRESENT
    memory = case.observed.memory
    if isinstance(memory.ram, Unknown):
        return Verdict.unknown(memory.ram)
    # Huge pages of hugetlbfs are never merged, flag or not.
    small = case.inventory.page_size_kib
    flags = [r.mergeable for r in memory.ram if r.page_kib == small]
    if not flags:
        return Verdict(True, 'huge pages are never merged')
    for flag in flags:
        if isinstance(flag, Unknown):
            return Verdict.unknown(flag)
    merged = 0
    if not isinstance(memory.ksm, Unknown):
        merged = memory.ksm.merging_pages
    if wanted:
        text = 'KSM may merge' if any(flags) else 'KSM may not merge'
        if merged:
            text += f', {merged} pages are merged'
        return Verdict(not any(flags) and not merged, text)
    text = 'KSM may merge' if all(flags) else 'KSM may not merge'
    return Verdict(all(flags), text)


def _allocation(case: Case) -> Verdict:
    if case.wanted != 'immediate':
        return Verdict(True, 'allocated on demand')
    ram = _ram(case)
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    size = sum(r.size_kib for r in ram)
    resident = sum(r.resident_kib for r in ram)
    text = f'{resident // 1024} of {size // 1024} MiB allocated'
    return Verdict(resident >= _ALLOCATED * size, text)


def _locked(case: Case) -> Verdict:
    """Huge pages are never swapped; the others count as locked by mlock
    (Locked).
    """
    ram = _ram(case)
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    small = [r for r in ram if r.page_kib == case.inventory.page_size_kib]
    size = sum(r.resident_kib for r in small)
    locked = sum(r.locked_kib for r in small)
    huge = sum(r.size_kib for r in ram if r not in small)
    text = f'{locked // 1024} MiB locked, {huge // 1024} MiB in huge pages'
    return Verdict(locked >= _ALLOCATED * size, text)


_HUGE = Rule(
    _hugepages,
    'page-size',
    'small pages cost TLB misses; the guest got other pages than promised',
)
_POLICY_RULE = Rule(
    _policy, 'memory-policy', 'new memory may come from a remote cell'
)
_NODES = Rule(_nodes, 'memory-cell', 'remote memory is slower for its vCPUs')

RULES: Rules = {
    ('memoryBacking/hugepages', ''): _HUGE,
    ('memoryBacking/hugepages/page', ''): _HUGE,
    ('memoryBacking/hugepages/page', 'size'): _HUGE,
    ('memoryBacking/hugepages/page', 'nodeset'): _HUGE,
    ('memoryBacking/nosharepages', ''): Rule(
        _nosharepages,
        'page-sharing',
        'a merged page is copied at the next write, and its timing leaks '
        'what the guest holds',
    ),
    ('memoryBacking/allocation', 'mode'): Rule(
        _allocation,
        'allocation',
        'the guest waits when it first touches memory, or finds none left',
    ),
    ('memoryBacking/locked', ''): Rule(
        _locked, 'locked', 'the memory of the guest may be swapped out'
    ),
    ('numatune/memory', 'mode'): _POLICY_RULE,
    ('numatune/memory', 'nodeset'): _NODES,
    ('numatune/memnode', 'mode'): _POLICY_RULE,
    ('numatune/memnode', 'nodeset'): _NODES,
}
