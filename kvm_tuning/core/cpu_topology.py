"""Sockets, dies, cores and threads of a guest that gets other vCPUs."""

from collections.abc import Mapping

from kvm_tuning.core import whole

#: Client editions of Windows use the vCPUs of two sockets at most.
_MOST_SOCKETS = 2
# All that libvirt counts: newer ones add some to every definition.
_LEVELS = ('sockets', 'dies', 'clusters', 'cores', 'threads')


def resized(found: Mapping[str, str], vcpus: int) -> dict[str, str]:
    """Return the attributes of ``<topology>`` for ``vcpus`` vCPUs.

    The guest keeps its threads per core and its sockets, up to two, where
    they divide the vCPUs; what changes is the number of cores. libvirt
    wants the product to be the number of vCPUs.

    :param found: the attributes of before.
    """
    threads = _number(found, 'threads')
    if vcpus % threads:
        threads = 1
    sockets = _number(found, 'sockets')
    if sockets > _MOST_SOCKETS or vcpus % (sockets * threads):
        sockets = 1
    shape = {
        'sockets': sockets,
        'cores': vcpus // (sockets * threads),
        'threads': threads,
    }
    for level in ('dies', 'clusters'):
        if level in found:
            shape[level] = 1
    return {level: str(shape[level]) for level in _LEVELS if level in shape}


def _number(found: Mapping[str, str], level: str) -> int:
    return max(1, whole.number(found.get(level, '1')) or 1)
