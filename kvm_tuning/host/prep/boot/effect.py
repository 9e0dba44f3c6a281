"""What becomes of kernel arguments: on a command line, and in the kernel that
runs.

Where the kernel shows what it did, that is the answer:
``/sys/devices/system/cpu/isolated`` and ``nohz_full``
(Documentation/admin-guide/cputopology.rst), and the pools of huge pages.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kvm_tuning.core import cpuset, whole
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Argument
from kvm_tuning.host.prep.kinds import command_line

#: kernel/sched/isolation.c, housekeeping_setup: of several that differ, the
#: first stands.
FIRST_COUNTS = frozenset({'isolcpus', 'nohz_full'})
#: Parameters whose value is a list of words of which each counts.
_LISTS = frozenset({'iommu', 'intel_iommu', 'amd_iommu'})
#: Words of isolcpus= before its CPUs; without any it is ``domain``.
_FLAGS = frozenset({'nohz', 'domain', 'managed_irq'})

_CPU = 'sys/devices/system/cpu'
_NODES = 'sys/devices/system/node'
#: What a kernel must be built with for an argument to mean anything.
_BUILT_WITH = {
    'nohz_full': 'CONFIG_NO_HZ_FULL',
    'rcu_nocbs': 'CONFIG_RCU_NOCB_CPU',
    'isolcpus': 'CONFIG_CPU_ISOLATION',
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an argument does not count on a command line: ``word`` stands
    there, and counts instead; empty: nothing of its name is there.
    """

    argument: Argument
    word: str = ''


def faults(text: str, arguments: Iterable[Argument]) -> Iterator[Fault]:
    """Yield the arguments that do not count on the command line ``text``."""
    for argument in arguments:
        if argument.key == 'hugepagesz':
            word = _pages_instead(text, argument)
        else:
            word = _word_instead(text, argument)
        if word is not None:
            yield Fault(argument, word)


def _word_instead(text: str, argument: Argument) -> str | None:
    key = command_line.key(argument.key)
    found = [w for w in command_line.words(text) if command_line.key(w) == key]
    if not found:
        return ''
    word = found[0] if key in FIRST_COUNTS else found[-1]
    value = word.partition('=')[2].strip('"')
    return None if _means(key, value, argument.value) else word


def _means(key: str, value: str, wanted: str) -> bool:
    if value == wanted:
        return True
    if key in _LISTS:
        return wanted in value.split(',')
    if key not in _BUILT_WITH:
        return False
    cpus = value
    if key == 'isolcpus':
        words = value.split(',')
        flags = [word for word in words if word in _FLAGS]
        if flags and 'domain' not in flags:
            return False
        cpus = ','.join(word for word in words if word not in _FLAGS)
    try:
        return cpuset.parse(cpus) == cpuset.parse(wanted)
    except ValueError:
        return False


def _pages_instead(text: str, argument: Argument) -> str | None:
    size, _blank, count = argument.value.partition(' ')
    given = page_counts(text).get(command_line.page_size(size))
    wanted = count.partition('=')[2]
    if given is None:
        return ''
    return None if given == wanted else f'hugepagesz={size} hugepages={given}'


def page_counts(text: str) -> dict[int, str]:
    """Return the counts of huge pages that the kernel takes from a command
    line, by size in bytes; 0: the kernel's own default size.

    mm/hugetlb.c: a size that comes a second time is ignored with its count,
    unless the first was ``default_hugepagesz`` and no count came since.
    """
    found: dict[int, str] = {}
    seen: set[int] = set()
    default = command_line.page_size(
        command_line.value(text, 'default_hugepagesz') or ''
    )
    size: int | None = default
    for word in command_line.words(text):
        key, value = command_line.key(word), word.partition('=')[2].strip('"')
        if key == 'default_hugepagesz':
            size = command_line.page_size(value)
        elif key == 'hugepagesz':
            size = command_line.page_size(value)
            if size in seen or size in found:
                size = None
            else:
                seen.add(size)
        elif key == 'hugepages' and size is not None:
            found.setdefault(size, value)
    return found


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An argument that the running kernel does not have as it is wanted."""

    argument: Argument
    #: Empty: the kernel was started without it.
    reason: str = ''


def shortfalls(
    host: Host, arguments: Iterable[Argument]
) -> Iterator[Shortfall]:
    """Yield the arguments that the running kernel has not taken, with the
    reason where it is known.
    """
    for argument in arguments:
        fault = next(faults(host.command_line, [argument]), None)
        shown = _shown(host, argument)
        if shown == '':
            continue
        if fault is not None:
            yield Shortfall(argument, outdone(fault) if fault.word else '')
        elif shown is not None:
            yield Shortfall(argument, shown)
        elif _built(host, argument.key) is False:
            yield Shortfall(argument, unbuilt(argument.key))


def outdone(fault: Fault) -> str:
    """Return what to say of an argument that another one keeps out."""
    key = fault.argument.key
    if key == 'hugepagesz':
        return (
            f'{fault.word} precedes it on the command line, and the kernel '
            f'takes only the first count of a size'
        )
    which = 'first' if key in FIRST_COUNTS else 'last'
    return (
        f'{fault.word} is also on the command line, and the kernel takes only '
        f'the {which} {key}'
    )


def unbuilt(key: str) -> str:
    """Return what to say of an argument that this kernel does not know."""
    return f'the kernel ignores {key}=: it is built without {_BUILT_WITH[key]}'


def ignored(host: Host, arguments: Iterable[Argument]) -> Iterator[str]:
    """Yield the reason for each argument that this kernel will ignore."""
    for argument in arguments:
        if _built(host, argument.key) is False:
            yield unbuilt(argument.key)


def _built(host: Host, key: str) -> bool | None:
    """Tell whether the running kernel knows an argument; None: not known."""
    names = host.tree.names(_CPU)
    if key == 'nohz_full' and 'isolated' in names:
        # drivers/base/cpu.c has this file for CONFIG_NO_HZ_FULL only.
        return 'nohz_full' in names
    option = _BUILT_WITH.get(key)
    release = host.tree.text('proc/sys/kernel/osrelease') or ''
    if option is None or '/' in release or not release:
        return None
    for path in (
        f'boot/config-{release}',
        f'usr/lib/modules/{release}/config',
        f'lib/modules/{release}/config',
    ):
        text = host.tree.foreign(path)
        if text is not None:
            return f'{option}=y' in text.split('\n')
    return None


def _shown(host: Host, argument: Argument) -> str | None:
    """Return what is wrong with what the kernel shows of an argument; empty
    when it is as wanted, None when the kernel shows nothing.
    """
    if argument.key in ('isolcpus', 'nohz_full'):
        return _shown_cpus(host, argument)
    if argument.key == 'hugepagesz':
        return _shown_pages(host, argument.value)
    return None


def _shown_cpus(host: Host, argument: Argument) -> str | None:
    name = 'isolated' if argument.key == 'isolcpus' else 'nohz_full'
    found = _cpus(host, f'{_CPU}/{name}')
    if found is None:
        if _built(host, argument.key) is False:
            return unbuilt(argument.key)
        return None
    if name == 'isolated':
        # cgroup-v2.rst: partitions of cpusets are isolated, too.
        found -= (
            _cpus(host, 'sys/fs/cgroup/cpuset.cpus.isolated') or frozenset()
        ) - cpuset.parse(argument.value)
    wanted = cpuset.parse(argument.value)
    if found == wanted:
        return ''
    text = (
        f'/{_CPU}/{name} shows {cpuset.format(found) or "none"}, not '
        f'{argument.value}'
    )
    if wanted - found == {0} and found <= wanted:
        text += ': the boot CPU stays a housekeeping one'
    return text


def _cpus(host: Host, path: str) -> frozenset[int] | None:
    text = host.tree.text(path)
    if text is None:
        return None
    try:
        # An empty mask is written as "(null)" by some kernels.
        return cpuset.parse('' if text == '(null)' else text)
    except ValueError:
        return None


def _shown_pages(host: Host, value: str) -> str | None:
    size, _blank, count = value.partition(' ')
    size_kib = command_line.page_size(size) // 1024
    wanted: dict[int | None, int] = {}
    for part in count.partition('=')[2].split(','):
        node, colon, pages = part.rpartition(':')
        pool = whole.number(pages), whole.number(node)
        if pool[0] is None or (colon and pool[1] is None):
            return None
        wanted[pool[1]] = pool[0]
    for cell, number in wanted.items():
        found = _pool(host, cell, size_kib)
        if found is None:
            return None
        if found < number:
            where = '' if cell is None else f' in cell {cell}'
            return (
                f'the kernel has {found} of {number} huge pages of {size}'
                f'{where}: memory was short or fragmented'
            )
    return ''


def _pool(host: Host, cell: int | None, size_kib: int) -> int | None:
    name = f'hugepages/hugepages-{size_kib}kB/nr_hugepages'
    if cell is None or not host.tree.names(f'{_NODES}/node0'):
        return host.tree.number(f'sys/kernel/mm/{name}')
    return host.tree.number(f'{_NODES}/node{cell}/{name}')
