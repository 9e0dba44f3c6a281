"""Show what a rebalance of a host would do, or has done, guest by guest."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd.command import Output, Section
from kvm_tuning.core import cpuset

if TYPE_CHECKING:
    from kvm_tuning.adapters.healing.apply import Done
    from kvm_tuning.adapters.healing.planned import Planned
    from kvm_tuning.core.audit.finding import Finding
    from kvm_tuning.core.inventory import Inventory
    from kvm_tuning.host.guests.exchange_journal import Exchange

_COLUMNS = (
    'guest',
    'L3 domains',
    'L3 domains then',
    'shared cores',
    'shared cores then',
    'vCPUs moved',
    'stays',
)


def output(planned: 'Planned') -> Output:
    """Return a plan in each form."""
    guests = _guests(planned)
    found = document(planned, guests)
    table = Section(
        'Guests with dedicated vCPUs',
        _COLUMNS,
        [
            (
                each['guest'],
                each['l3_domains']['before'],
                each['l3_domains']['after'],
                each['shared_cores']['before'],
                each['shared_cores']['after'],
                f'{each["moved"]} of {each["vcpus"]}',
                each['stays'],
            )
            for each in guests
        ],
    )
    moves = Section(
        'Moves, in their order',
        ('guest', 'vCPU', 'from', 'to', 'shares for a moment'),
        [
            (m['guest'], m['vcpu'], m['from'], m['to'], _yes(m['doubles']))
            for m in found['moves']
        ],
    )
    return Output(
        found,
        (
            table,
            *([moves] if found['moves'] else []),
            Section('', lines=_lines(found)),
        ),
        main=table,
    )


def _yes(value: bool) -> str | None:
    return 'yes' if value else None


def document(
    planned: 'Planned', guests: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a plan as a document."""
    plan = planned.plan
    names = {each.uuid: each.name for each in plan.occupants}
    before = [cell.before for cell in plan.cells]
    after = [cell.after for cell in plan.cells]
    return {
        'guests': guests,
        'excess': {
            'before': sum(each.excess for each in before),
            'after': sum(each.excess for each in after),
            'least': plan.least,
        },
        'shared_cores': {
            'before': sum(each.shared_cores for each in before),
            'after': sum(each.shared_cores for each in after),
        },
        'moved': plan.moved,
        'vcpus': sum(len(each.pins) for each in plan.occupants),
        'calls': len(plan.order),
        'doublings': plan.doublings,
        'moves': [
            {
                'guest': names[move.thread[0]],
                'vcpu': move.thread[1],
                'from': move.source,
                'to': move.target,
                'doubles': move.doubles,
            }
            for move in plan.order
        ],
    }


def _guests(planned: 'Planned') -> list[dict[str, Any]]:
    plan, inventory = planned.plan, planned.inventory
    now = {o.uuid: o.pins for o in plan.occupants}
    then = {
        o.uuid: {**o.pins, **plan.pins.get(o.uuid, {})} for o in plan.occupants
    }
    found = []
    for occupant in sorted(plan.occupants, key=lambda each: each.name):
        old, new = now[occupant.uuid], then[occupant.uuid]
        found.append(
            {
                'guest': occupant.name,
                'uuid': occupant.uuid,
                'vcpus': len(old),
                'l3_domains': {
                    'before': _domains(old, inventory),
                    'after': _domains(new, inventory),
                },
                'shared_cores': {
                    'before': _shared(occupant.uuid, now, inventory),
                    'after': _shared(occupant.uuid, then, inventory),
                },
                'moved': sum(new[vcpu] != cpu for vcpu, cpu in old.items()),
                'pcpus': {
                    'before': cpuset.format(old.values()),
                    'after': cpuset.format(new.values()),
                },
                'stays': occupant.why,
            }
        )
    return found


def _domains(pins: Mapping[int, int], inventory: 'Inventory') -> int:
    return len(
        {
            inventory.cpu[cpu].l3
            for cpu in pins.values()
            if cpu in inventory.cpu
        }
    )


def _shared(
    uuid: str,
    pins: Mapping[str, Mapping[int, int]],
    inventory: 'Inventory',
) -> int:
    """Return on how many of its cores a guest has a neighbour."""
    others = {
        cpu
        for other, held in pins.items()
        if other != uuid
        for cpu in held.values()
    }
    cores = {
        inventory.cpu[cpu].core
        for cpu in pins[uuid].values()
        if cpu in inventory.cpu
    }
    return sum(bool(core & others) for core in cores)


def _lines(found: Mapping[str, Any]) -> tuple[str, ...]:
    excess, shared = found['excess'], found['shared_cores']
    if not found['moved']:
        return (
            f'Nothing is worth moving: {_state(excess, shared, "before")}.',
        )
    least = excess['least']
    if least is None:
        bound = 'the least is not proven'
    elif excess['after'] > least:
        bound = f'{least} is proven to be the least'
    else:
        bound = 'which is proven to be the least'
    return (
        f'Now: {_state(excess, shared, "before")}.',
        f'Then: {_state(excess, shared, "after")} ({bound}).',
        f'{found["moved"]} of {found["vcpus"]} dedicated vCPUs move, in '
        f'{found["calls"]} steps; {found["doublings"]} of them have two vCPUs '
        f'on one pCPU until the next step.',
    )


def _state(
    excess: Mapping[str, Any], shared: Mapping[str, Any], when: str
) -> str:
    return (
        f'{excess[when]} L3 domains more than the fewest, '
        f'{shared[when]} cores shared by two guests'
    )


def done(
    done: 'Done',
    broken: Sequence[tuple[str, 'Finding']],
    planned: 'Planned | None',
) -> Output:
    """Return what became of an exchange.

    :param broken: what an audit has found, by guest.
    :param planned: the plan that was carried out; None: there was none.
    """
    exchange = done.exchange
    guests = [] if exchange is None else _rows(exchange)
    moved = Section(
        'Guests that have moved',
        ('guest', 'from', 'to', 'vCPUs moved'),
        [
            (g['guest'], g['pcpus']['before'], g['pcpus']['after'], g['moved'])
            for g in guests
        ],
    )
    count = sum(g['moved'] for g in guests)
    lines = [
        f'{count} vCPUs moved, in {done.calls} steps; {done.doublings} of '
        f'them had two vCPUs on one pCPU until the next step.'
    ]
    if exchange is None and planned is not None:
        lines = [*_lines(document(planned, []))]
    lines += [f'left: {each}' for each in done.left]
    lines += [
        f'error: guest {guest}: {f.address}: want {f.wanted}, found {f.found}'
        for guest, f in broken
    ]
    return Output(
        {
            'changed': exchange is not None,
            'guests': guests,
            'moved': count,
            'calls': done.calls,
            'doublings': done.doublings,
            'left': list(done.left),
            'broken': [
                {
                    'guest': guest,
                    'address': finding.address,
                    'wanted': finding.wanted,
                    'found': finding.found,
                }
                for guest, finding in broken
            ],
        },
        (*([moved] if guests else []), Section('', lines=lines)),
        main=moved,
    )


def _rows(exchange: 'Exchange') -> list[dict[str, Any]]:
    """Return the guests of an exchange, as far as they move."""
    return [
        {
            'guest': guest.name,
            'uuid': guest.uuid,
            'pcpus': {
                'before': cpuset.format(guest.before.values()),
                'after': cpuset.format(guest.after.values()),
            },
            'moved': sum(
                guest.after[vcpu] != cpu for vcpu, cpu in guest.before.items()
            ),
        }
        for guest in exchange.guests
    ]


def history(exchanges: Sequence['Exchange']) -> Output:
    """Return the exchanges that were made, the oldest first."""
    found = [
        {
            'when': each.when,
            'kind': each.kind,
            'undone': each.undone,
            'figures': dict(each.figures),
            'guests': _rows(each),
        }
        for each in exchanges
    ]
    table = Section(
        'Exchanges',
        (
            'when',
            'kind',
            'guests',
            'vCPUs moved',
            'L3 excess',
            'shared pCPUs',
            'state',
        ),
        [
            (
                each.when.partition('.')[0],
                each.kind,
                len(each.guests),
                each.figures.get('moved'),
                _arrow(each.figures.get('excess')),
                each.figures.get('doublings'),
                'undone' if each.undone and each.kind != 'undo' else None,
            )
            for each in exchanges
        ],
    )
    lines = () if found else ('No pCPUs were exchanged.',)
    return Output(
        {'exchanges': found},
        (table, *([Section('', lines=lines)] if lines else [])),
        main=table,
    )


def _arrow(pair: Any) -> str | None:
    return None if pair is None else f'{pair[0]} to {pair[1]}'
