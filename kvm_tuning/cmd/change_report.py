"""Render what tuning has changed about a guest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd.command import Section
from kvm_tuning.core import cpuset
from kvm_tuning.core.effects import Absent, Effect, Element
from kvm_tuning.core.xml import paths

if TYPE_CHECKING:
    from kvm_tuning.adapters.standalone import Change
    from kvm_tuning.core.audit.restart import Pending
    from kvm_tuning.core.placement import CellPlacement
    from kvm_tuning.core.plan import Plan

_PENDING = ('address', 'running', 'defined')
#: How many lines a summary may have.
_MOST = 9
_CELLS = 3
# What the placement already says.
_PLACED = frozenset(
    {'cputune', 'currentMemory', 'iothreads', 'memory', 'numatune', 'vcpu'}
)
_DEVICES = {'disk': 'disk', 'interface': 'NIC'}


def document(change: 'Change') -> dict[str, Any]:
    """Return a change as plain data."""
    return {
        'guest': change.guest,
        'changed': change.changed,
        'running': change.running,
        'foreign': list(change.foreign),
        'pending': pending_rows(change.pending),
    }


def pending_rows(pending: Sequence['Pending']) -> list[dict[str, str]]:
    """Return what takes effect after a restart, as plain data."""
    return [
        dict(zip(_PENDING, (p.address, p.running, p.defined), strict=True))
        for p in pending
    ]


def pending_sections(pending: Sequence['Pending']) -> list[Section]:
    """Return what takes effect after a restart, as a table if any."""
    if not pending:
        return []
    return [
        Section(
            'Needs a restart: the running guest has it otherwise',
            _PENDING,
            [(p.address, p.running, p.defined) for p in pending],
        )
    ]


def verdict(change: 'Change', done: str) -> str:
    """Return one line about a change."""
    if not change.changed:
        return f'{change.guest}: nothing to change'
    restart = ', restart it' if change.pending else ''
    return f'{change.guest}: {done}{restart}'


def summary(plan: 'Plan') -> list[str]:
    """Return what a plan makes of a guest, in few lines."""
    placement = plan.placement
    lines = [_cell(cell) for cell in placement.cells[:_CELLS]]
    if len(placement.cells) > _CELLS:
        lines.append(f'{len(placement.cells) - _CELLS} more cells likewise')
    threads = [
        f'{purpose} threads on pCPUs {cpuset.format(cpus)}'
        for purpose, cpus in placement.pools.items()
    ]
    if placement.emulator:
        alone = cpuset.format(placement.emulator)
        threads.append(f'emulator threads alone on pCPU {alone}')
    lines += ['; '.join(threads)] if threads else []
    lines += [
        f'{key}: {", ".join(addresses)}'
        for key, addresses in placement.devices.items()
    ]
    lines += _devices(plan.effects)
    others = _others(plan.effects)
    if len(lines) + bool(others) > _MOST:
        left = len(lines) - _MOST + 2
        lines[-left:] = [f'{left} more; guest plan shows the whole plan']
    return [*lines, *([f'also set: {", ".join(others)}'] if others else [])]


def _cell(cell: 'CellPlacement') -> str:
    parts = []
    if cell.pins:
        pcpus = ','.join(str(cell.pins[vcpu]) for vcpu in sorted(cell.pins))
        parts.append(f'vCPUs {cpuset.format(cell.pins)} on pCPUs {pcpus}')
    if cell.shared:
        parts.append(f'the others on pCPUs {cpuset.format(cell.shared)}')
    memory = f'{cell.memory_kib >> 10} MiB'
    if cell.page_kib is not None:
        memory += f' in pages of {cell.page_kib} KiB'
    return f'{"; ".join([*parts, memory])} (host cell {cell.host_cell})'


def _devices(effects: Sequence[Effect]) -> list[str]:
    """Return what is set of devices, alike ones in one line."""
    settings: dict[tuple[str, str], list[str]] = {}
    for effect in effects:
        if not isinstance(effect, Element):
            continue
        steps = paths.steps(effect.path)
        if steps[0].tag != 'devices' or not steps[1].keys:
            continue
        kind = _DEVICES.get(steps[1].tag, steps[1].tag)
        name = ' '.join(key.value for key in steps[1].keys)
        settings.setdefault((kind, name), []).extend(
            f'{attribute} {value}'
            for attribute, value in effect.attributes.items()
            if value is not None
        )
    alike: dict[tuple[str, str], list[str]] = {}
    for (kind, name), words in settings.items():
        alike.setdefault((kind, ', '.join(words)), []).append(name)
    return [
        f'{kind} {", ".join(names)}: {words}'
        for (kind, words), names in alike.items()
        if words
    ]


def _others(effects: Sequence[Effect]) -> list[str]:
    """Return the other elements that are set, without their values."""
    found: dict[str, None] = {}
    for effect in effects:
        if isinstance(effect, Element | Absent):
            tags = [step.tag for step in paths.steps(effect.path)]
            if tags[0] not in {*_PLACED, 'devices'}:
                found['/'.join(tags[:2])] = None
    return list(found)
