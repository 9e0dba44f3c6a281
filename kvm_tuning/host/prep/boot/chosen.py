"""Which boot entry starts by itself, where that is written down."""

from fnmatch import fnmatchcase

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import partitions, started_by
from kvm_tuning.host.prep.boot.environment import Environment

_LOADER = 'loader/loader.conf'
_GUID = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f'
_VARIABLES = ('LoaderEntryOneShot', 'LoaderEntryDefault')
_ATTRIBUTES_BYTES = 4


def entry(host: Host, known: Environment, paths: list[str]) -> str | None:
    """Return that entry of ``paths``, which are all there are; None: another
    one, or it is not known.

    :raises InventoryUnreadable: what says it cannot be read.
    """
    if started_by.loader(host) == started_by.SYSTEMD_BOOT:
        patterns = _systemd_boot(host)
    else:
        found = known.variables.get('default')
        patterns = [found or known.variables.get('saved_entry') or '']
    for pattern in patterns:
        for path in sorted(paths, reverse=True):
            name = path.rpartition('/')[2]
            if pattern and (
                fnmatchcase(name, pattern)
                or fnmatchcase(name, f'{pattern}.conf')
            ):
                return path
    return None


def _systemd_boot(host: Host) -> list[str]:
    """Return the patterns of systemd-boot, the first of which counts: its
    EFI variables, and loader.conf(5).
    """
    found = []
    for variable in _VARIABLES:
        path = f'sys/firmware/efi/efivars/{variable}-{_GUID}'
        raw = host.tree.raw(path)
        if raw:
            text = raw[_ATTRIBUTES_BYTES:].decode('utf-16-le', 'replace')
            found.append(text.rstrip('\0'))
    for partition in partitions.paths(host.tree):
        text = host.tree.foreign(f'{partition}/{_LOADER}') or ''
        for line in text.splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == 'default':
                found.append(words[1])
    return found
