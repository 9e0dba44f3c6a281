"""Results of ``kvm-tuning bench`` as documents and tables."""

from collections.abc import Mapping, Sequence
import dataclasses
import string
from typing import TYPE_CHECKING, Any

from kvm_tuning.cmd.command import Output, Section
from kvm_tuning.core import cpuset
from kvm_tuning.core.bench import spread

if TYPE_CHECKING:
    from kvm_tuning.core.bench.arms import Arm
    from kvm_tuning.core.bench.memory import Run
    from kvm_tuning.core.bench.spread import Spread

#: The version of the documents.
FORMAT = 1
#: The counts, by key: what they are called, and whether they are shares.
COUNTS = {
    'local_share': ('local reads', True),
    'faults': ('page faults', False),
    'fill_faults': ('faults when filled', False),
    'huge_share': ('huge pages', True),
    'migrations': ('migrations', False),
    'voluntary_switches': ('slept', False),
    'involuntary_switches': ('displaced', False),
}
_NOTE = (
    'Counts are right on every machine. How often a thread was displaced '
    'depends on what else runs.'
)
_ROUNDS = ('round', 'arm', *COUNTS, 'ns')

Result = Mapping[str, Any]


def arm_document(arm: 'Arm') -> dict[str, Any]:
    """Return an arm as plain data."""
    return {
        'name': arm.name,
        'cpus': [cpuset.format(cpus) for cpus in arm.cpus],
        'cells': None if arm.cells is None else list(arm.cells),
    }


def run_document(
    number: int, arm: 'Arm', run: 'Run', times: bool
) -> dict[str, Any]:
    """Return a run as plain data.

    :param number: that of its round.
    :param times: whether times mean something here.
    """
    return {
        'round': number,
        'arm': arm.name,
        'counts': dataclasses.asdict(run.counts),
        **({'ns': run.ns} if times else {}),
    }


def counts(result: Result, arm: str, key: str) -> list[float] | None:
    """Return a count of an arm, round by round; None: it is unknown."""
    values = [
        run['counts'][key] for run in result['rounds'] if run['arm'] == arm
    ]
    return None if None in values else [float(value) for value in values]


def seconds(result: Result, arm: str) -> list[float]:
    """Return how long an arm took, round by round."""
    return [run['ns'] / 1e9 for run in result['rounds'] if run['arm'] == arm]


def letters(result: Result) -> dict[str, str]:
    """Return a letter for each arm, by its name; after Z come numbers."""
    names = [arm['name'] for arm in result['arms']]
    return {
        name: string.ascii_uppercase[index]
        if index < len(string.ascii_uppercase)
        else str(index)
        for index, name in enumerate(names)
    }


def verdicts(result: Result) -> list[str]:
    """Return a sentence on each arm but the first: what it takes against it.

    There are none where times mean nothing.
    """
    if result['no_times'] is not None:
        return []
    (first, letter), *others = letters(result).items()
    base = seconds(result, first)
    found = []
    for name, other in others:
        compared = spread.compare(base, seconds(result, name))
        ratio = compared.ratio
        measured = (
            f'{ratio.median:.2f} times as long as {letter} '
            f'({ratio.least:.2f} to {ratio.most:.2f} in {compared.rounds} '
            'rounds)'
        )
        if compared.shown:
            found.append(f'{other} takes {measured}')
        else:
            found.append(f'{other}: no difference shown: {measured}')
    return found


def output(results: Sequence[Result]) -> Output:
    """Return what is printed of one result, or of several machines."""
    many = len(results) > 1
    sections = [_machines(results)]
    for result in results:
        name = f' of {_name(result)}' if many else ''
        sections += [_arms(result, name), _counts(result, name)]
        sections += _times(result, name)
    rows = [
        (
            run['round'],
            run['arm'],
            *(run['counts'][key] for key in COUNTS),
            run.get('ns'),
        )
        for result in results
        for run in result['rounds']
    ]
    document = {'results': list(results)} if many else results[0]
    return Output(document, tuple(sections), main=Section('', _ROUNDS, rows))


def _name(result: Result) -> str:
    return str(result.get('name', 'this machine'))


def _machines(results: Sequence[Result]) -> Section:
    """Return what results depend on; of several machines what differs."""
    names = [_name(result) for result in results]
    machines = [_flat(result) for result in results]
    keys = list(dict.fromkeys(key for each in machines for key in each))
    rows = [
        (key.replace('_', ' '), *(each.get(key, '') for each in machines))
        for key in keys
    ]
    if len(results) == 1:
        return Section('Machine', ('what', 'is'), rows)
    return Section(
        'Machines: what differs',
        ('what', *names),
        [row for row in rows if len(set(row[1:])) > 1],
    )


def _flat(result: Result) -> dict[str, str]:
    flat = {}
    for key, value in {
        'made': result['made'],
        **result['machine'],
        **result['parameters'],
        'checksum': result['checksum'],
    }.items():
        if isinstance(value, dict):
            value = '; '.join(f'{k}: {v}' for k, v in sorted(value.items()))
        elif isinstance(value, list):
            value = ', '.join(map(str, value))
        flat[key] = '' if value is None else str(value)
    return flat


def _arms(result: Result, name: str) -> Section:
    rows = [(letter, arm) for arm, letter in letters(result).items()]
    return Section(
        f'Arms{name}', ('arm', 'where threads and memory are'), rows
    )


def _counts(result: Result, name: str) -> Section:
    rows = []
    for key, (title, share) in COUNTS.items():
        values = [counts(result, arm, key) for arm in letters(result)]
        rows.append(
            (
                title,
                *(
                    'unknown'
                    if each is None
                    else _spread(spread.spread(each), share)
                    for each in values
                ),
            )
        )
    columns = ('count', *letters(result).values())
    return Section(f'Counts{name}', columns, rows, lines=(_NOTE,))


def _times(result: Result, name: str) -> list[Section]:
    if result['no_times'] is not None:
        line = f'Times are left out: {result["no_times"]}.'
        return [Section(f'Times{name}', lines=(line,))]
    mib = 2 * result['parameters']['blocks'] / 1024
    rows = []
    for arm, letter in letters(result).items():
        took = spread.spread(seconds(result, arm))
        rows.append(
            (
                letter,
                f'{took.median:.3f}',
                f'{took.least:.3f} to {took.most:.3f}',
                f'{mib / took.median:.0f}',
            )
        )
    columns = ('arm', 'seconds, median', 'least to most', 'MiB/s')
    return [Section(f'Times{name}', columns, rows, lines=verdicts(result))]


def _spread(found: 'Spread', share: bool) -> str:
    def text(value: float) -> str:
        return f'{value * 100:.0f}' if share else f'{value:.0f}'

    unit = ' %' if share else ''
    ends = (text(found.least), text(found.most))
    if ends[0] == ends[1]:
        return f'{text(found.median)}{unit}'
    return f'{text(found.median)}{unit} ({ends[0]} to {ends[1]})'
