"""Plan and write the kernel arguments for the next boot.

They are one managed set in each place from which a boot loader takes them:

- Debian's GRUB: ``/etc/default/grub.d/*.cfg``, read by update-grub(8), which
  writes the menu. We write a file of our own, whose arguments come last.
- Boot Loader Specification (RHEL 8 and later, systemd-boot): the ``options``
  lines of each ``/boot/loader/entries/*.conf``, and ``/etc/kernel/cmdline``,
  from which the entries of new kernels are made.

In the latter, all arguments with our names are removed and ours appended, so
that no stale value remains; the former text is in the journal, and what we
wrote earlier and is no longer wanted is removed.
"""

from collections.abc import Iterable, Iterator
import re

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.sysfs import LARGE_BYTES, Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import (
    Argument,
    Goal,
    Item,
    Note,
    Refusal,
    Value,
    When,
    setting,
)
from kvm_tuning.host.prep.journal import Journal
from kvm_tuning.host.prep.kinds import boot_entries, boot_record, command_line
from kvm_tuning.host.prep.kinds.command_line import Unit

KIND = boot_record.KIND
CONCERN = boot_record.CONCERN
GRUB = 'etc/default/grub.d/kvm-tuning.cfg'
GRUB_MENU = 'boot/grub/grub.cfg'
ENTRIES = boot_entries.ENTRIES
CMDLINE = boot_entries.CMDLINE

_HEAD = '# Written by kvm-tuning host apply. Do not edit.'
# Of the two variables, this one comes last on the line and is not used for
# recovery entries (GRUB's manual, Simple configuration).
_VARIABLE = 'GRUB_CMDLINE_LINUX_DEFAULT'
_STALE = ' (not in the menu yet)'
# The text of our file while the menu is written without it. If the file were
# removed first, a stale menu could not be recognized.
_LEAVING = '(leaving)'
_LINUX = re.compile(r'\s*linux(16|efi)?\s')
# What grub-mkconfig(8) writes around the output of each of its scripts, and
# the scripts whose entries do not use /etc/default/grub.
_SECTION = re.compile(r'### (BEGIN|END) (\S+) ###')
_NOT_OURS = ('_os-prober', '_custom')


class KernelArguments:
    """The arguments in one place; its name is that file's path."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        if name == GRUB:
            return _read_grub(host.tree)
        return boot_entries.read(host.tree, name)

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        if name == GRUB:
            _write_grub(system, value)
        else:
            boot_entries.write(system, name, value)

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        stale = (value + _STALE for value in (found, target) if value)
        return (*stale, _LEAVING)

    def place(self, name: str) -> str:
        return f'/{name}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(name)


def _read_grub(tree: Tree) -> Value:
    """Return our arguments, marked when the menu does not have them."""
    text = tree.text(GRUB)
    if text is None:
        return None
    match = re.search(rf'{_VARIABLE}="\${_VARIABLE} ([^"]*)"', text)
    value = match[1] if match else _LEAVING
    if value == _LEAVING or _in_menu(tree, value):
        return value
    return value + _STALE


def _in_menu(tree: Tree, value: str) -> bool:
    """Tell whether every Linux of this host in the menu is started with
    ``value``.
    """
    return all(_has(line, value) for line in _menu(tree)[0])


def _has(line: str, value: str) -> bool:
    return f' {value}' in ' '.join(line.split())


def _menu(tree: Tree) -> tuple[list[str], list[str]]:
    """Return the menu's lines that start this host's Linux, and those that
    start another one or were written by hand. Rescue entries have no
    arguments of ours on purpose, and are in neither.

    This host's are those with the root that runs now. Where nothing tells
    them apart, all are taken for this host's.
    """
    made: list[str] = []
    others: list[str] = []
    section = ''
    menu = tree.text(GRUB_MENU, limit=LARGE_BYTES)
    for line in (menu or '').splitlines():
        mark = _SECTION.match(line)
        if mark:
            section = mark[2] if mark[1] == 'BEGIN' else ''
        elif _LINUX.match(line) and not _is_rescue(line):
            foreign = section.endswith(_NOT_OURS)
            (others if foreign else made).append(line)
    root = command_line.value(tree.text('proc/cmdline') or '', 'root')
    own = [line for line in made if command_line.value(line, 'root') == root]
    if root is not None and own:
        others += [line for line in made if line not in own]
        made = own
    return (made, others) if made else (others, [])


def _is_rescue(line: str) -> bool:
    words = line.split()
    return 'single' in words or 'recovery' in words or 'memtest' in line


def _write_grub(system: System, value: Value) -> None:
    system.require('update-grub')
    if value is None:
        system.replace(GRUB, f'{_HEAD}\n')
        system.run(['update-grub'])
        system.remove(GRUB)
        return
    value = value.removesuffix(_STALE)
    system.replace(GRUB, f'{_HEAD}\n{_VARIABLE}="${_VARIABLE} {value}"\n')
    system.run(['update-grub'])


def goals(
    host: Host,
    arguments: Iterable[Argument],
    managed: Iterable[str],
    record: Journal | None = None,
) -> Iterator[Item]:
    """Yield the goals that make the next boot use ``arguments``.

    :param managed: names of which no other value may linger; of huge pages
        it is the sizes of ``arguments``.
    :param record: tells what is ours of what is there. Without it nothing
        goes but other values of ``managed``.
    """
    arguments = list(arguments)
    if not arguments:
        return
    try:
        yield from _goals(host, arguments, managed, record or Journal())
    except InventoryUnreadable as error:
        yield Note(
            CONCERN, f'the arguments of the next boot cannot be read: {error}'
        )


def _goals(
    host: Host,
    arguments: list[Argument],
    managed: Iterable[str],
    record: Journal,
) -> Iterator[Item]:
    value = ' '.join(map(str, arguments))
    reason = '; '.join(dict.fromkeys(a.reason for a in arguments))
    running = 'given' if in_force(host.command_line, arguments) else 'not yet'
    places = list(_places(host.tree))
    if not places:
        yield Note(
            CONCERN,
            f'no known boot loader was found (GRUB with /etc/default/grub, or '
            f'boot entries in /{ENTRIES}): add {value} to the kernel command '
            f'line yourself',
        )
    yield from _left_out(host.tree, places, value)
    for place in places:
        found = KernelArguments().read(host, place)
        wanted, dropped = value, ''
        if place != GRUB:
            text = boot_record.original(host.tree, record, place, found or '')
            wanted = _merged(text, arguments, managed)
            dropped = _dropped(found or '', wanted)
        yield Goal(
            setting(KIND, place, wanted),
            CONCERN,
            found,
            reason + dropped,
            running=running,
            running_wanted='given',
            when=When.REBOOT,
            title=f'kernel arguments in /{place}',
        )
    yield from _foreign(host, arguments)


def _places(tree: Tree) -> Iterator[str]:
    if tree.text('etc/default/grub') is not None and tree.names('boot/grub'):
        yield GRUB
    yield from boot_entries.places(tree)


def _left_out(tree: Tree, places: list[str], value: str) -> Iterator[Note]:
    """Yield notes on menu entries that start without our arguments."""
    for name in boot_entries.names(tree):
        if name not in places:
            # A memory test or an EFI program.
            yield Note(
                CONCERN,
                f'/{name} has no options line and is left as it is',
            )
    lines = _menu(tree)[1] if GRUB in places else []
    kernels = [line.split()[1:2] for line in lines if not _has(line, value)]
    names = dict.fromkeys(name for words in kernels for name in words)
    if names:
        yield Note(
            CONCERN,
            f'/{GRUB_MENU} starts {", ".join(names)} without {value}: '
            f'another Linux, or an entry written by hand',
        )


def _merged(
    found: str, arguments: list[Argument], managed: Iterable[str]
) -> str:
    """Return the arguments of an entry with ours instead of other values."""
    names = {command_line.key(name) for name in managed}
    sizes = _page_sizes(arguments)

    def gone(unit: Unit) -> bool:
        word, size = unit
        return (
            command_line.key(word) in names
            if size is None
            else (size in sizes)
        )

    return command_line.edited(found, gone, ' '.join(map(str, arguments)))


def _page_sizes(arguments: Iterable[Argument]) -> frozenset[int]:
    """Return the sizes of huge pages in ``arguments``, in bytes."""
    return frozenset(
        command_line.page_size(argument.value.split()[0])
        for argument in arguments
        if argument.key == 'hugepagesz'
    )


def _dropped(found: str, wanted: str) -> str:
    """Name the arguments that are removed without a replacement."""
    kept = {
        (command_line.key(word), size)
        for word, size in command_line.units(wanted)
    }
    gone = [
        word
        for word, size in command_line.units(found)
        if (command_line.key(word), size) not in kept
    ]
    return f'; no longer wanted: {" ".join(gone)}' if gone else ''


def in_force(text: str, arguments: Iterable[Argument]) -> bool:
    """Return whether a command line has all arguments in force: none is
    overridden by a later value, or by an earlier one where the first counts.
    """
    for argument in arguments:
        if ' ' in str(argument):
            # hugepagesz and hugepages, of which there may be several pairs.
            if f' {argument} ' not in f' {text} ':
                return False
        else:
            values = command_line.values(text, argument.key)
            if argument.key not in _FIRST_COUNTS:
                values = values[-1:]
            if set(values) != {argument.value}:
                return False
    return True


# kernel/sched/isolation.c, housekeeping_setup: of several different values
# the first counts.
_FIRST_COUNTS = frozenset({'isolcpus', 'nohz_full'})


def _foreign(
    host: Host, arguments: list[Argument]
) -> Iterator[Note | Refusal]:
    """Yield notes and refusals for other places that set our arguments."""
    names = {command_line.key(argument.key) for argument in arguments}
    sizes = _page_sizes(arguments)
    ours = {str(argument) for argument in arguments}
    for path in ('etc/default/grub', *_grub_parts(host.tree)):
        for line in (host.tree.text(path) or '').splitlines():
            match = re.match(
                r'\s*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=["\']?(.*?)["\']?$', line
            )
            for word, size in command_line.units(match[1] if match else ''):
                key = command_line.key(word)
                if size is not None and size not in sizes:
                    continue
                if key in _FIRST_COUNTS & names and word not in ours:
                    yield Refusal(
                        CONCERN,
                        f'/{path}',
                        f'it sets {word}, and the kernel takes only the '
                        f'first {key}: remove it there',
                    )
                elif key in names:
                    yield Note(
                        CONCERN,
                        f'/{path} also sets {word}; the last value counts',
                    )
    if host.tree.text('etc/tuned/bootcmdline'):
        for line in (host.tree.text('etc/tuned/bootcmdline') or '').split(
            '\n'
        ):
            words = command_line.words(line.partition('=')[2].strip('"'))
            found = [w for w in words if command_line.key(w) in names]
            if line.startswith('TUNED_BOOT_CMDLINE') and found:
                yield Note(CONCERN, f'TuneD also sets {" ".join(found)}')


def _grub_parts(tree: Tree) -> list[str]:
    base = 'etc/default/grub.d'
    return [
        f'{base}/{name}'
        for name in tree.names(base)
        if name.endswith('.cfg') and f'{base}/{name}' != GRUB
    ]
