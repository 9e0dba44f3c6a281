"""Print each public case, its right answer, and the answer now.

    python -m tests.cases [TEXT]

The cases are those of the folder that ``KVM_TUNING_CASES`` names: domains
and flavors are planned, stored and taken back by a throw-away libvirt, host
trees are read as ``--root`` reads them. What is right is in ``guest.yaml``.
The exit status is 1 when an answer is wrong or a case has none.
"""

import argparse
from pathlib import Path
import sys
import tempfile
import textwrap

import prettytable
import yaml

from tests.cases import answers
from tests.cases.answers import Asker
from tests.fixtures import memory_dir

TABLE = Path(__file__).parent / 'guest.yaml'


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('text', nargs='?', default='', help='A part of names.')
    options = parser.parse_args(arguments)
    folder = answers.folder()
    if folder is None:
        print('KVM_TUNING_CASES does not name a folder with cases of guests')
        return 2
    table = prettytable.PrettyTable(('case', 'right', 'now', 'verdict'))
    table.align = 'l'
    wrong = []
    rows = [
        row
        for row in yaml.safe_load(TABLE.read_text())
        if options.text in row['case']
    ]
    with (
        tempfile.TemporaryDirectory(dir=memory_dir.place()) as scratch,
        Asker(scratch) as asker,
    ):
        for row in rows:
            answer = asker.answer(folder, row)
            failures = answers.failures(row, answer)
            verdict = '; '.join(failures) or 'right'
            wrong += [row['case']] if failures else []
            cells = (row['case'], row['right'], answer.text, verdict)
            table.add_row([textwrap.fill(str(c), 40) for c in cells])
    names = {each.name for each in folder.iterdir()}
    missing = sorted(n for n in names - _named(rows) if options.text in n)
    print(table)
    print(f'{len(rows) - len(wrong)} right, {len(wrong)} wrong')
    for name in missing:
        print(f'no right answer is written down for {name}')
    return 1 if wrong or missing else 0


def _named(rows):
    return {row['case'] for row in rows}


if __name__ == '__main__':
    sys.exit(main())
