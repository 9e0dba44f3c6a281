"""Print each public case of a cloud, its right answer, and the answer now.

    python -m tests.cases.cloud

A case is held by tests, which ``cloud.yaml`` names, and which are run: the
answer is that they pass, what is missing for them, or what went wrong. Where
``KVM_TUNING_CASES`` names a folder, its folder ``cloud`` may have no case
that is not in the table. The exit status is 1 when an answer is wrong, or a
case has none.
"""

import os
from pathlib import Path
import sys
import textwrap
import unittest

import prettytable
import yaml

TABLE = Path(__file__).with_suffix('.yaml')


def rows():
    """Return the cases: name, right answer, tests."""
    return yaml.safe_load(TABLE.read_text())


def answer(tests):
    """Return whether tests hold, None where one cannot run, and words."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromNames(tests).run(result)
    bad = [test.id() for test, _trace in result.failures + result.errors]
    if bad:
        return False, f'fails: {" ".join(bad)}'
    reasons = sorted({reason for _test, reason in result.skipped})
    if reasons:
        ran = max(0, result.testsRun - len(result.skipped))
        return None, f'{ran} tests pass, others not run: {"; ".join(reasons)}'
    return True, f'{result.testsRun} tests pass'


def main():
    table = prettytable.PrettyTable(('case', 'right', 'now', 'verdict'))
    table.align = 'l'
    verdicts = {True: 'right', False: 'wrong', None: 'in part'}
    found = []
    for row in rows():
        right, words = answer(row['tests'])
        found.append(right)
        cells = (row['case'], row['right'], words, verdicts[right])
        table.add_row([textwrap.fill(str(cell), 44) for cell in cells])
    print(table)
    print(', '.join(
        f'{found.count(value)} {word}' for value, word in verdicts.items()
    ))  # fmt: skip
    folder = Path(os.environ.get('KVM_TUNING_CASES', ''), 'cloud')
    named = {row['case'] for row in rows()}
    missing = sorted(
        each.name
        for each in (folder.iterdir() if folder.is_dir() else ())
        if each.name not in named
    )
    for name in missing:
        print(f'no right answer is written down for {name}')
    return int(False in found or bool(missing))


if __name__ == '__main__':
    sys.exit(main())
