"""Render a plan for people and for programs."""

from collections.abc import Mapping
import dataclasses
import enum
from typing import Any

from kvm_tuning.cmd.command import Section, paragraph
from kvm_tuning.core import cpuset
from kvm_tuning.core.effects import (
    Absent,
    Consequence,
    Effect,
    Setting,
)
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.placement import CellPlacement
from kvm_tuning.core.plan import Plan

EFFECTS = ('kind', 'address', 'wanted')
_THREADS = {
    'emulator': 'emulator threads',
    'iothread': 'iothreads',
    'vhost': 'vhost threads',
}
CONSEQUENCES = ('code', 'audience', 'text')


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data."""
    return {
        'flavor': plan.request.flavor,
        'guest': plan.guest.name,
        'asked': [
            {
                'knob': asked.key,
                'value': asked.text,
                'source': asked.source.value,
                'origin': asked.origin,
            }
            for asked in plan.request.asked.values()
        ],
        'demands': [
            {'demand': _kind(demand), **_plain(demand)}
            for demand in plan.demands
        ],
        'placement': _plain(plan.placement)
        | {
            'pins': {str(v): p for v, p in sorted(plan.placement.pins.items())}
        },
        'effects': [
            dict(zip(EFFECTS, row, strict=True))
            for effect in plan.effects
            for row in effect_rows(effect)
        ],
        'claim': _plain(plan.claim)
        | {
            'pages': [
                {'cell': cell, 'size_kib': size, 'count': count}
                for (cell, size), count in sorted(plan.claim.pages.items())
            ]
        },
        'unkept': [_plain(each) for each in plan.unkept],
        'consequences': [_plain(each) for each in plan.consequences],
    }


def sections(plan: Plan) -> tuple[Section, ...]:
    """Return the plan as tables."""
    return (
        _asked(plan),
        _demands(plan),
        *_placement(plan),
        effects(plan),
        _claim(plan.claim),
        *_unkept(plan),
        consequences(plan.consequences),
    )


def effects(plan: Plan) -> Section:
    """Return what must hold, as a table."""
    if not plan.effects:
        return Section(
            'Effects', EFFECTS, lines=('none: the domain stays as it is',)
        )
    rows = [row for each in plan.effects for row in effect_rows(each)]
    return Section('Effects', EFFECTS, rows)


def consequences(found: tuple[Consequence, ...]) -> Section:
    """Return what is to know, one paragraph each."""
    lines = [
        paragraph(f'for the {each.audience} ({each.code}): {each.text}')
        for each in found
    ]
    return Section('Consequences', lines=lines or ('none',))


def consequence_table(found: tuple[Consequence, ...]) -> Section:
    """Return what is to know, as a table."""
    return Section(
        'Consequences',
        CONSEQUENCES,
        [(each.code, each.audience, each.text) for each in found],
    )


def effect_rows(effect: Effect) -> list[tuple[str, str, str]]:
    """Return kind, address and wanted value of each part of an effect."""
    if isinstance(effect, Setting):
        return [(effect.kind, effect.name, effect.value)]
    if isinstance(effect, Absent):
        return [('absent', effect.path, '')]
    rows = [
        (
            'element',
            f'{effect.path}/@{name}',
            '(not there)' if value is None else value,
        )
        for name, value in effect.attributes.items()
    ]
    if effect.text is not None:
        rows.append(('element', effect.path, effect.text))
    if not rows:
        rows.append(('element', effect.path, '(there)'))
    return rows


def _asked(plan: Plan) -> Section:
    if not plan.request.asked:
        return Section('Asked', lines=('nothing',))
    return Section(
        'Asked',
        ('knob', 'value', 'by'),
        [(a.key, a.text, a.origin) for a in plan.request.asked.values()],
    )


def _demands(plan: Plan) -> Section:
    if not plan.demands:
        return Section('Demands', lines=('none',))
    return Section(
        'Demands',
        ('demand', 'what'),
        [(_kind(each), _words(_plain(each))) for each in plan.demands],
    )


def _placement(plan: Plan) -> list[Section]:
    placement = plan.placement
    if not plan.demands:
        return []
    lines = [paragraph(reason) for reason in placement.reasons]
    if placement.emulator:
        lines.append(
            f'- the emulator alone: pCPU {cpuset.format(placement.emulator)}'
        )
    lines += [
        f'- {_THREADS.get(purpose, purpose)}: pCPUs {cpuset.format(cpus)}'
        for purpose, cpus in placement.pools.items()
    ]
    lines += [
        f'- {key}: {", ".join(addresses)}'
        for key, addresses in placement.devices.items()
    ]
    if placement.cost:
        lines.append(f'- cost {placement.cost}')
    return [
        Section(
            'Placement',
            ('cell', 'host cell', 'vCPU:pCPU', 'shared', 'held', 'memory'),
            [_cell(cell) for cell in placement.cells],
            lines=lines,
        )
    ]


def _cell(cell: CellPlacement) -> tuple[Any, ...]:
    pins = ' '.join(f'{v}:{p}' for v, p in sorted(cell.pins.items()))
    memory = f'{cell.memory_kib >> 10} MiB'
    if cell.page_kib is not None:
        memory += f' as {cell.pages} pages of {cell.page_kib} KiB'
    return (
        cell.cell,
        cell.host_cell,
        pins or '-',
        cpuset.format(cell.shared) or '-',
        cpuset.format(cell.reserved) or '-',
        memory,
    )


def _claim(claim: Claim) -> Section:
    rows: list[tuple[str, str]] = []
    if claim.pcpus:
        rows.append(('pCPUs', cpuset.format(claim.pcpus)))
    if claim.shared:
        rows.append(
            (
                'shared pCPUs',
                f'{cpuset.format(claim.shared)} for {claim.shared_vcpus}',
            )
        )
    rows += [
        (f'pages of {size} KiB', f'{count} of cell {cell}')
        for (cell, size), count in sorted(claim.pages.items())
    ]
    rows += [
        ('memory', f'{kib >> 10} MiB of cell {cell}')
        for cell, kib in sorted(claim.memory_kib.items())
    ]
    rows += [('device', address) for address in sorted(claim.devices)]
    if not rows:
        return Section('Claims', lines=('none',))
    return Section('Claims', ('what', 'which'), rows)


def outside(plan: Plan) -> list[Section]:
    """Return what has to hold besides the definition."""
    rows = [
        (each.kind, each.name, each.value, each.scope.value, each.phase.value)
        for each in plan.effects
        if isinstance(each, Setting)
    ]
    if not rows:
        return []
    return [
        Section(
            "Outside of the domain's definition: not made by this command",
            ('kind', 'name', 'value', 'scope', 'when'),
            rows,
        )
    ]


def _unkept(plan: Plan) -> list[Section]:
    if not plan.unkept:
        return []
    return [
        Section(
            'Preferences that are not kept',
            lines=[
                paragraph(
                    f'{each.knob}: wanted {each.wanted}, found {each.found}: '
                    f'{each.reason}'
                )
                for each in plan.unkept
            ],
        )
    ]


def _kind(demand: Any) -> str:
    return type(demand).__name__.removesuffix('Demand').lower()


def _plain(value: Any) -> Any:
    """Return dataclasses, sets and enumerations as plain data."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _key(key: Any) -> str:
    return ','.join(map(str, key)) if isinstance(key, tuple) else str(key)


def _words(values: Mapping[str, Any]) -> str:
    return ', '.join(
        f'{name} {_word(value)}'
        for name, value in values.items()
        if value not in (None, [], {})
    )


def _word(value: Any) -> str:
    if isinstance(value, list):
        if all(isinstance(each, int) for each in value):
            ordered = sorted(value) == value
            return (
                cpuset.format(value) if ordered else ','.join(map(str, value))
            )
        return ','.join(map(str, value))
    if isinstance(value, dict):
        return ' '.join(f'{k}={_word(v)}' for k, v in value.items())
    return str(value)
