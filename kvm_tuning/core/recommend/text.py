"""Write a recommendation as a configuration that is ready for review."""

from collections.abc import Iterator, Sequence
import textwrap

from kvm_tuning.core import cpuset
from kvm_tuning.core.recommend.rule import PAGE_KIB, Recommendation

_WIDTH = 78


def configuration(made: Recommendation, notes: Sequence[str] = ()) -> str:
    """Return the text of a kvm-tuning.conf, with the reasons as comments.

    :param notes: what is to be known first.
    """
    return '\n'.join(_lines(made, notes)) + '\n'


def _lines(made: Recommendation, notes: Sequence[str]) -> Iterator[str]:
    housekeeping = cpuset.format(made.housekeeping)
    for note in notes:
        yield from _comment(f'Note: {note}.')
    if notes:
        yield ''
    yield '[placement]'
    yield from _comment(
        'vCPUs that float, emulator threads and iothreads run on the shared '
        "pCPUs, which are the host's own"
    )
    if made.dedicated:
        yield f'dedicated_cpus = {cpuset.format(made.dedicated)}'
    yield f'shared_cpus = {housekeeping}'
    if made.dedicated:
        yield ''
        yield '[cpu_isolation]'
        for reason in made.reasons:
            if reason.what == 'housekeeping CPUs':
                yield from _comment(f'{reason.value}: {reason.why}')
        yield f'housekeeping_cpus = {housekeeping}'
    if made.huge_pages:
        yield ''
        yield '[huge_pages]'
        for reason in made.reasons:
            if reason.what == 'huge pages':
                yield from _comment(f'{reason.value}: {reason.why}')
        for cell, count in sorted(made.huge_pages.items()):
            yield f'pages = node:{cell},size:{PAGE_KIB},count:{count}'


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent='# ', subsequent_indent='# '
    )
