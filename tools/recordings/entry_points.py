"""Have the entry points of a tree found, whatever is installed."""

from collections.abc import Iterator
import configparser
import contextlib
import os
from pathlib import Path
import sys
import tempfile


def read(checkout: Path) -> dict[str, dict[str, str]]:
    """Return what the entry points of setup.cfg name, by group and name."""
    config = configparser.ConfigParser(delimiters='=')
    config.read(checkout / 'setup.cfg')
    found: dict[str, dict[str, str]] = {}
    for group, text in config['options.entry_points'].items():
        lines = [
            line.partition('=')
            for line in text.strip().splitlines()
            if not line.startswith('#')
        ]
        found[group] = {
            name.strip(): target.strip() for name, _equals, target in lines
        }
    return found


@contextlib.contextmanager
def of(checkout: Path) -> Iterator[None]:
    """Put a tree first in the path, here and for children, with metadata as
    an installation would have it: the first of a name counts.
    """
    with tempfile.TemporaryDirectory() as scratch:
        metadata = Path(scratch) / 'kvm_tuning-0.0.0.dist-info'
        metadata.mkdir()
        (metadata / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: kvm-tuning\nVersion: 0.0.0\n'
        )
        text = ''
        for group, names in read(checkout).items():
            text += f'[{group}]\n'
            text += ''.join(f'{n} = {target}\n' for n, target in names.items())
        (metadata / 'entry_points.txt').write_text(text)
        first = [str(checkout), scratch]
        sys.path[:0] = first
        os.environ['PYTHONPATH'] = os.pathsep.join(first)
        yield
