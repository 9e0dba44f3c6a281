#!/usr/bin/env python3
"""Heals states of hosts and prints what came of each, a JSON object a line.

usage: tools/bench/heal [--budget PERCENT] [--summary] STATE.json...

A state is one host at one time, a JSON object:

cells
    NUMA cells, each with its id and ``l3``, its L3 domains; a domain has
    ``cores``, lists of the pCPUs that guests may have.
guests
    each with an ``id``, the thread ``policy`` (prefer, require or isolate),
    ``fixed`` (it may not move), ``groups`` (it has been shown its caches) and
    its ``cells``: the host ``cell`` and ``pins``, a pCPU for each vCPU.

A line says what was and is: ``excess`` (L3 domains more than the fewest, with
``least``, the proven optimum, or null), ``shared_cores``, ``compact`` guests
of ``guests``, ``moved`` of ``vcpus``, ``cpu_ms`` and the new ``pins``. With
``--summary`` a table by kind follows, a kind being what the files' names have
before ``-s``.

Exit status 1: a plan is worse than its state or than the proven least, or
breaks a rule.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
import json
import pathlib
import re
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kvm_tuning.core.healing.cell import Cell, Part  # noqa: E402
from kvm_tuning.core.healing.heal import Healing, heal  # noqa: E402


def cells(state: Mapping[str, Any]) -> list[Cell]:
    """Return the NUMA cells of a state."""
    threads = max(
        len(core)
        for cell in state['cells']
        for domain in cell['l3']
        for core in domain['cores']
    )
    return [
        Cell(
            [
                [tuple(core) for core in domain['cores']]
                for domain in cell['l3']
            ],
            [
                Part(
                    guest['id'],
                    {int(v): cpu for v, cpu in part['pins'].items()},
                    isolated=guest['policy'] == 'isolate',
                    grouped=guest['groups'],
                    fixed=guest['fixed'],
                )
                for guest in state['guests']
                for part in guest['cells']
                if part['cell'] == cell['id']
            ],
            threads,
        )
        for cell in state['cells']
    ]


def result(
    name: str, state: Mapping[str, Any], plans: list[Healing], ms: float
) -> dict[str, Any]:
    """Return the line of a state."""
    least = [plan.least for plan in plans]
    pins: dict[str, list[dict[int, int]]] = defaultdict(list)
    spread: dict[str, list[bool]] = defaultdict(lambda: [False, False])
    for plan in plans:
        for part, new in zip(plan.cell.parts, plan.pins, strict=True):
            pins[part.guest].append(dict(new))
        over = plan.before.over, plan.after.over
        for when in (0, 1):
            for part, excess in zip(plan.cell.parts, over[when], strict=True):
                spread[part.guest][when] |= excess > 0
    return {
        'state': name,
        'excess': {
            'before': sum(plan.before.excess for plan in plans),
            'after': sum(plan.after.excess for plan in plans),
            'least': None if None in least else sum(filter(None, least)),
        },
        'shared_cores': {
            'before': sum(plan.before.shared_cores for plan in plans),
            'after': sum(plan.after.shared_cores for plan in plans),
        },
        'compact': {
            'before': sum(not each[0] for each in spread.values()),
            'after': sum(not each[1] for each in spread.values()),
        },
        'guests': len(state['guests']),
        'moved': sum(plan.moved for plan in plans),
        'vcpus': sum(len(c) for each in pins.values() for c in each),
        'cpu_ms': round(ms, 1),
        'pins': pins,
    }


def wrong(plans: list[Healing], line: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a plan; None: nothing."""
    excess, shared = line['excess'], line['shared_cores']
    if (excess['after'], shared['after']) > (
        excess['before'],
        shared['before'],
    ):
        return 'it is worse than before'
    if excess['least'] is not None and excess['after'] > excess['least']:
        return f'excess {excess["after"]} where {excess["least"]} is possible'
    for plan in plans:
        held = [cpu for pins in plan.pins for cpu in pins.values()]
        if len(held) != len(set(held)):
            return 'two vCPUs are on one pCPU'
        for part, pins in zip(plan.cell.parts, plan.pins, strict=True):
            if pins.keys() != part.pins.keys():
                return f'{part.guest} has lost a vCPU'
            if part.fixed and dict(pins) != dict(part.pins):
                return f'{part.guest} was moved, and may not'
    return None


def summary(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of the states by kind."""
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        name = pathlib.PurePath(line['state']).stem
        kinds[re.sub(r'-s\d.*', '', name)].append(line)
    head = (
        f'{"kind":16}{"hosts":>6}{"compact %":>16}{"excess":>14}{"least":>7}'
        f'{"shared cores":>14}{"moved %":>9}{"ms median":>11}{"worst":>7}'
    )
    rows = [head]
    for kind, of_kind in sorted(kinds.items()):

        def total(*keys: str, of_kind: Any = of_kind) -> int:
            found = 0
            for line in of_kind:
                value: Any = line
                for key in keys:
                    value = value[key]
                found += value
            return found

        guests, vcpus = total('guests'), total('vcpus')
        proven = all(x['excess']['least'] is not None for x in of_kind)
        times = sorted(x['cpu_ms'] for x in of_kind)
        compact = [
            100 * total('compact', when) / max(1, guests)
            for when in ('before', 'after')
        ]
        rows.append(
            f'{kind:16}{len(of_kind):>6}'
            f'{compact[0]:>8.1f}{compact[1]:>8.1f}'
            f'{total("excess", "before"):>7}{total("excess", "after"):>7}'
            f'{total("excess", "least") if proven else "-":>7}'
            f'{total("shared_cores", "before"):>7}'
            f'{total("shared_cores", "after"):>7}'
            f'{100 * total("moved") / max(1, vcpus):>9.1f}'
            f'{times[len(times) // 2]:>11.1f}{times[-1]:>7.1f}'
        )
    return '\n'.join(rows)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument('states', nargs='+', metavar='STATE.json')
    parser.add_argument(
        '--budget', type=float, help='Most vCPUs to move, in per cent.'
    )
    parser.add_argument('--summary', action='store_true')
    parsed = parser.parse_args()
    status, lines = 0, []
    for path in parsed.states:
        state = json.loads(pathlib.Path(path).read_text())
        host = cells(state)
        budget = None
        if parsed.budget is not None:
            all_ = sum(len(p.pins) for cell in host for p in cell.parts)
            budget = int(all_ * parsed.budget / 100)
        start = time.process_time()
        plans = heal(host, budget)
        spent = time.process_time() - start
        line = result(path, state, plans, spent * 1000)
        problem = wrong(plans, line)
        if budget is not None and line['moved'] > budget:
            problem = f'{line["moved"]} vCPUs move, {budget} may'
        if problem and not (budget is not None and 'possible' in problem):
            print(f'{path}: {problem}', file=sys.stderr)
            status = 1
        lines.append(line)
        if not parsed.summary:
            print(json.dumps(line), flush=True)
    if parsed.summary:
        print(summary(lines))
    return status


if __name__ == '__main__':
    sys.exit(main())
