"""IBM Z's zipl without boot entries: ``/etc/zipl.conf`` (zipl.conf(5))."""

from collections.abc import Iterator
import re

from kvm_tuning.host.access.sysfs import Tree

PATH = 'etc/zipl.conf'

_PARAMETERS = re.compile(r'^\s*parameters\s*=\s*(.*?)\s*$')


def read(tree: Tree) -> Iterator[str]:
    """Yield the arguments of each section."""
    for line in (tree.foreign(PATH) or '').splitlines():
        match = _PARAMETERS.match(line)
        if match:
            yield match[1].strip('"\'')
