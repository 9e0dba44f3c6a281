"""Break random lines of the package, and see whether its unit tests notice.

usage: tools/mutants SEED COUNT [--part N/M] [--seconds N] [--paths PATH ...]
                     [--processes N]

The seed draws COUNT lines below the paths (all of kvm_tuning but what runs in
Nova, whose tests need it), and one small change of each. Each is made in a
copy of the tree, where the tests that run the line are run, in this Python.
A line that is run at import has the tests of the lines that name what it
defines, or the class that it is in, and the tests whose modules do; one that
no test is known to run has those of the whole file. Prints
each mutant that survived, as a difference, and a table by kind of change.
Some survivors are equivalent, so read them. Exit status 1: fewer than 95 %
were killed.

Which test runs which line is measured once, and kept in .cache/mutants. What
a test runs in another process counts only where the process is forked. One
process a copy imports what others have written, and forks for each mutant. The
quickest tests run first, until one fails or takes five times its own time;
those beyond --seconds together are left out, and what only they would notice
has survived.

A long sample can be tried in parts: 1 300 --part 1/5, 2/5 and so on.
"""

import argparse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import difflib
from pathlib import Path
import random
import sys
import tempfile

sys.path[0] = str(Path(__file__).resolve().parents[2])
from tools.lib.checkout import TOP, ToolError, made_in
from tools.mutation import copies, measured
from tools.mutation.sites import Site, sites

PATHS = ['kvm_tuning']
#: Nova's side: its tests are tests/nova's.
APART = 'kvm_tuning/adapters/nova/'
ENOUGH = 95.0


@dataclass(frozen=True)
class Mutant:
    """One change of one file, named from the top of the tree."""

    path: str
    site: Site

    def difference(self, source: str) -> str:
        """Return it as a unified difference without its head."""
        lines = difflib.unified_diff(
            source.splitlines(), self.site.apply(source).splitlines(),
            lineterm='', n=0,
        )  # fmt: skip
        return '\n'.join(list(lines)[2:])


def draw(
    tree: Path, paths: list[str], seed: int, count: int
) -> list[tuple[Mutant, str]]:
    """Return mutants with the sources of their files: equal for a seed.

    :raises ToolError: a path is not there.
    """
    lines: dict[tuple[str, int], list[Site]] = {}
    sources: dict[str, str] = {}
    for name in paths:
        if not (tree / name).exists():
            raise ToolError(f'{name} is not there')
        files = [tree / name] if name.endswith('.py') else (
            tree / name).glob('**/*.py')  # fmt: skip
        for file in files:
            path = str(file.relative_to(tree))
            if path.startswith(APART) and not name.startswith(APART):
                continue
            sources[path] = file.read_text()
            for site in sites(sources[path]):
                lines.setdefault((path, site.line), []).append(site)
    chooser = random.Random(seed)
    chosen = chooser.sample(sorted(lines), min(count, len(lines)))
    mutants = [
        Mutant(path, chooser.choice(lines[path, line]))
        for path, line in chosen
    ]
    return [(each, sources[each.path]) for each in mutants]


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog='tools/mutants',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('seed', type=int)
    parser.add_argument('count', type=int)
    parser.add_argument('--part', type=_part, default=(1, 1), metavar='N/M')
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--paths', nargs='+', default=PATHS)
    parser.add_argument('--processes', type=int, default=1)
    given = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix='mutants-') as place,
            copies.Copies(TOP, Path(place), given.processes) as trees,
        ):
            return report(given, trees)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2


def _part(text: str) -> tuple[int, int]:
    number, _slash, parts = text.partition('/')
    if not 1 <= int(number) <= int(parts):
        raise ValueError(text)
    return int(number), int(parts)


def report(given: argparse.Namespace, trees: copies.Copies) -> int:
    """Try the mutants of the command line, print what became of them."""
    mutants = draw(trees.tree, given.paths, given.seed, given.count)
    lines = measured.measure(trees, made_in('mutants'))
    number, parts = given.part
    mutants = mutants[number - 1 :: parts]
    for test in sorted(lines.failed):
        print(f'fails without a mutant, left out: {test}')

    def attempt(drawn: tuple[Mutant, str]) -> copies.Verdict:
        mutant, source = drawn
        tests = lines.quickest(
            lines.of(mutant.path, mutant.site), given.seconds
        )
        return trees.attempt(mutant.path, mutant.site.apply(source), tests)

    counts: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(given.processes) as pool:
        for (mutant, source), verdict in zip(
            mutants, pool.map(attempt, mutants), strict=True
        ):
            counts[mutant.site.kind, verdict.outcome] += 1
            print(
                f'{verdict.outcome:9} {mutant.path}:{mutant.site.line} '
                f'{mutant.site.kind} {verdict.test}'.rstrip()
            )
            if verdict.outcome in {copies.SURVIVED, copies.UNRUN}:
                print(mutant.difference(source))
            sys.stdout.flush()
    return _table(counts)


def _table(counts: Counter[tuple[str, str]]) -> int:
    outcomes = (copies.KILLED, copies.ENDLESS, copies.SURVIVED, copies.UNRUN)
    print(f'{"kind":12}' + ''.join(f'{name:>10}' for name in outcomes))
    kinds = sorted({kind for kind, _outcome in counts})
    for kind in kinds:
        _row(kind, [counts[kind, outcome] for outcome in outcomes])
    sums = [sum(counts[kind, outcome] for kind in kinds)
            for outcome in outcomes]  # fmt: skip
    _row('all', sums)
    return int(100 * sum(sums[:2]) < ENOUGH * max(1, sum(sums)))


def _row(name: str, numbers: list[int]) -> None:
    share = 100 * sum(numbers[:2]) / max(1, sum(numbers))
    cells = ''.join(f'{number:>10}' for number in numbers)
    print(f'{name:12}{cells}{share:7.0f} %')


if __name__ == '__main__':
    sys.exit(main())
