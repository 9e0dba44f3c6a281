"""Show what a rebalance of a host would do, or has done, guest by guest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd.command import Output, Section
from kvm_tuning.core import cpuset
from kvm_tuning.core.healing import told

if TYPE_CHECKING:
    from kvm_tuning.adapters.healing.apply import Done
    from kvm_tuning.adapters.healing.planned import Planned
    from kvm_tuning.core.audit.finding import Finding
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
    return shown(told.document(planned.plan, planned.inventory))


def shown(found: dict[str, Any]) -> Output:
    """Return a plan's document in each form."""
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
            for each in found['guests']
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
            Section('', lines=told.lines(found)),
        ),
        main=table,
    )


def _yes(value: bool) -> str | None:
    return 'yes' if value else None


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
        found = told.document(planned.plan, planned.inventory)
        lines = [*told.lines(found)]
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
