"""The names of a file of /sys or /proc, by any of which it may be written."""

from collections.abc import Iterator
import re

from kvm_tuning.host.inventory.host import Host

_POOL = re.compile(
    r'sys/(?:kernel/mm|devices/system/node/node\d+)/hugepages/'
    r'hugepages-(\d+)kB/nr_hugepages'
)
_INTERRUPT = re.compile(r'(proc/irq/\d+/smp_affinity)_list')
_DISK = re.compile(r'sys/(?:class/)?block/([^/]+)/(.*)')


def of(host: Host, path: str) -> Iterator[str]:
    """Yield the paths of a file, relative to the root. The number of huge
    pages of a cell is a part of that of the host.
    """
    yield path
    real = host.tree.real(path)
    if real is not None and real != path:
        yield real
    if match := _POOL.fullmatch(path):
        size = match[1]
        base = f'sys/kernel/mm/hugepages/hugepages-{size}kB'
        yield f'{base}/nr_hugepages'
        yield f'{base}/nr_hugepages_mempolicy'
        if host.meminfo_kib('Hugepagesize') in (int(size), None):
            yield 'proc/sys/vm/nr_hugepages'
            yield 'proc/sys/vm/nr_hugepages_mempolicy'
    if match := _INTERRUPT.fullmatch(path):
        yield match[1]
    if match := _DISK.fullmatch(path):
        yield f'sys/block/{match[1]}/{match[2]}'
        yield f'sys/class/block/{match[1]}/{match[2]}'
