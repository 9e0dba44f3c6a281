"""Print each public case of a host, its right answer, and the answer now.

    python -m tests.cases.host [TEXT]

The trees are those of the folder ``host`` of the folder that
``KVM_TUNING_CASES`` names; ``host plan``, ``host status`` and ``host ready``
look at each with ``--root``. What is right is in ``host.yaml``: the exit
statuses, words that must be said and words that must not. Where it says so,
the answer is a plain user's, or what an apply says where the kernel refuses a
write, on a copy of the tree with a kernel that is made up. The exit status is
1 when an answer is wrong or a case has none.

``tests/unit`` has the same situations, from fixtures.
"""

import argparse
import errno
import functools
import os
from pathlib import Path
import re
import sys
import tarfile
import tempfile
import textwrap

import prettytable
import yaml

from tests.fixtures import killed, plain_user, prepared, whole_host
from tests.fixtures.command import Command
from tests.fixtures.fake_kernel import FakeKernel

TABLE = Path(__file__).with_suffix('.yaml')
_VERBS = ('plan', 'status', 'ready')


def folder():
    """Return the folder of the cases, or None."""
    found = Path(os.environ.get('KVM_TUNING_CASES', ''), 'host')
    return found if found.is_dir() else None


def rows():
    """Return the cases: name, right answer, what must be said."""
    return yaml.safe_load(TABLE.read_text())


def answer(row, there):
    """Return whether the answer is right, and in words what it is.

    :param there: the folder of the cases.
    """
    with tempfile.TemporaryDirectory(dir=killed.SCRATCH) as scratch:
        with tarfile.open(there / row['case'] / 'tree.tar.gz') as archive:
            # Debian 12's Python has no argument for it (PEP 706).
            archive.extraction_filter = getattr(tarfile, 'tar_filter', None)
            archive.extractall(scratch)
        root = f'{scratch}/tree'
        if 'refuses' in row:
            kernel = FakeKernel(root)
            path = kernel.tree().real(row['refuses']['path'])
            kernel.answers[path] = getattr(errno, row['refuses']['error'])
            done = prepared.apply(kernel, whole_host.items(root))
            text = '\n'.join((*done.failed, *done.notes))
            return _judged(row, text, {})
        look = functools.partial(_look, root)
        if row.get('plain_user'):
            os.chmod(scratch, 0o755)
            found = plain_user.answer(root, look)
        else:
            found = look()
    text = '\n'.join(said for _status, said in found.values())
    statuses = {verb: status for verb, (status, _said) in found.items()}
    return _judged(row, text, statuses)


def _look(root):
    """Return what each command ends with and says."""
    command = Command()
    command.setUp()
    try:
        found = {}
        for verb in _VERBS:
            json = () if verb == 'ready' else ('-f', 'json')
            done = command.run('host', verb, *json, '--root', root)
            said = f'{done.stdout}{done.stderr}'.encode()
            # JSON writes what is not ASCII, and quotes, by escapes.
            text = said.decode('unicode_escape', errors='replace')
            found[verb] = done.status, text
        return found
    finally:
        command.cleanUp()


def _judged(row, text, statuses):
    wrong = [
        f'{verb} ends with {status}, not {row[verb]}'
        for verb, status in statuses.items()
        if verb in row and status != row[verb]
    ]
    said = []
    for words in row.get('says', ()):
        line = re.search(rf'.*?({re.escape(words)}.*)', text)
        if line is None:
            wrong.append(f'nobody says: {words}')
        else:
            said.append(line[1][:90])
    wrong += [
        f'somebody says: {words}'
        for words in row.get('never', ())
        if words in text
    ]
    ends = [f'{verb} {status}' for verb, status in statuses.items()]
    return not wrong, '; '.join(wrong) or '; '.join([', '.join(ends), *said])


def main(arguments=None):
    """Print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('text', nargs='?', default='', help='A part of names.')
    options = parser.parse_args(arguments)
    there = folder()
    if there is None:
        print('KVM_TUNING_CASES does not name a folder with cases of hosts')
        return 2
    table = prettytable.PrettyTable(('case', 'right', 'now', 'verdict'))
    table.align = 'l'
    wrong = 0
    known = rows()
    for row in known:
        if options.text not in row['case']:
            continue
        right, words = answer(row, there)
        wrong += not right
        cells = (row['case'], row['right'], words)
        table.add_row(
            [
                *(textwrap.fill(cell, 46) for cell in cells),
                'right' if right else 'wrong',
            ]
        )
    print(table)
    missing = {each.name for each in there.iterdir()} - {
        row['case'] for row in known
    }
    for name in sorted(missing):
        print(f'no right answer is written down for {name}')
    print(f'{len(table.rows) - wrong} right, {wrong + len(missing)} wrong')
    return int(bool(wrong or missing))


if __name__ == '__main__':
    sys.exit(main())
