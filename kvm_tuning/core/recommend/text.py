"""Write a recommendation as a configuration that is ready for review."""

from collections.abc import Iterator, Sequence
import re
import textwrap

from kvm_tuning.core import cpuset
from kvm_tuning.core.recommend.rule import PAGE_KIB, Recommendation

_WIDTH = 78
_COMMA = re.compile(r'(?<=\d),(?=\d)')


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
        yield from _option('dedicated_cpus', cpuset.format(made.dedicated))
    yield from _option('shared_cpus', housekeeping)
    if made.dedicated:
        yield ''
        yield '[cpu_isolation]'
        for reason in made.reasons:
            if reason.what == 'housekeeping CPUs':
                yield from _comment(f'{reason.value}: {reason.why}')
        yield from _option('housekeeping_cpus', housekeeping)
    if made.huge_pages:
        yield ''
        yield '[huge_pages]'
        for reason in made.reasons:
            if reason.what == 'huge pages':
                yield from _comment(f'{reason.value}: {reason.why}')
        for cell, count in sorted(made.huge_pages.items()):
            yield f'pages = node:{cell},size:{PAGE_KIB},count:{count}'


def _option(name: str, cpus: str) -> list[str]:
    """Return an option in lines; those behind the first are indented, which
    oslo.config reads as a continuation.
    """
    return _wrapped(f'{name} = {cpus}', '', '    ')


def _comment(text: str) -> list[str]:
    return _wrapped(text, '# ', '# ')


def _wrapped(text: str, first: str, others: str) -> list[str]:
    if len(first + text) > _WIDTH:
        # A list of CPUs may be broken behind its commas, and nowhere else.
        text = _COMMA.sub(', ', text)
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
