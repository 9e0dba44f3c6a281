"""Find arguments of others that keep ours from counting, on the command line
that the next boot would have with ours.
"""

from collections.abc import Iterator
import re

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.boot import (
    effect,
    environment,
    grub_defaults,
    grub_place,
)
from kvm_tuning.host.prep.boot.effect import Fault
from kvm_tuning.host.prep.boot.environment import Environment
from kvm_tuning.host.prep.boot.grub_defaults import Defaults
from kvm_tuning.host.prep.boot.wanted import Request
from kvm_tuning.host.prep.goals import Item, Note, Refusal
from kvm_tuning.host.prep.kinds import command_line
from kvm_tuning.host.prep.kinds.kernel_arguments import CMDLINE, CONCERN

#: systemd.git, NEWS of 257: from it on, comments are not for the kernel.
_DROPS_COMMENTS = 257
_LIBRARY = re.compile(r'libsystemd-(?:shared|core)-(\d{3})\b')
_LIBRARIES = (
    'usr/lib/systemd',
    'usr/lib/x86_64-linux-gnu/systemd',
    'usr/lib/aarch64-linux-gnu/systemd',
    'usr/lib64/systemd',
)


def grub(request: Request, name: str) -> Iterator[Item]:
    """Yield what is wrong with the menu that would be made with ours.

    :raises InventoryUnreadable: the defaults do more than set variables.
    """
    tree = request.host.tree
    text = grub_place.text(tree, name, request.value)
    defaults = grub_defaults.read(tree, {name: text})
    lost = defaults.lost_after(name, grub_defaults.USUAL)
    if lost is not None:
        yield Refusal(
            CONCERN,
            f'/{lost}',
            f'it sets {grub_defaults.USUAL} after /{name} without its former '
            f'value, so ours would be lost: let the new value begin with '
            f'${grub_defaults.USUAL}, or give the file a name that sorts '
            f'before ours',
        )
        return
    known = environment.read(request.host)
    faulty = list(
        effect.faults(known.expanded(defaults.arguments), request.arguments)
    )
    for fault in faulty:
        yield _grub_refusal(fault, defaults, known, name)
    yield from _others(request, defaults, known, name, faulty)
    yield from _tuned(request, defaults.arguments)


def _grub_refusal(
    fault: Fault, defaults: Defaults, known: Environment, name: str
) -> Refusal:
    """Return the refusal of an argument that another one keeps out."""
    first = fault.word.split()[0] if fault.word else ''
    who = known.source(defaults.arguments, fault.word)
    path = f'/{defaults.source(first)}'
    if not fault.word:
        return Refusal(
            CONCERN, f'/{name}', f'{fault.argument} would not come through'
        )
    return Refusal(CONCERN, path, _advice(fault, who or 'it'))


def _advice(fault: Fault, who: str) -> str:
    key = fault.argument.key
    if key == 'hugepagesz':
        return (
            f'{who} sets {fault.word}, and the kernel takes only the first '
            f'count of a size: remove it there'
        )
    if key in effect.FIRST_COUNTS:
        return (
            f'{who} sets {fault.word}, and the kernel takes only the first '
            f'{key}: remove it there'
        )
    return (
        f'{who} sets {fault.word} after ours, and the kernel takes only the '
        f'last {key}: remove it there'
    )


def _others(
    request: Request,
    defaults: Defaults,
    known: Environment,
    name: str,
    faulty: list[Fault],
) -> Iterator[Note]:
    """Yield where else the same arguments are set, and ours count."""
    ours = str(request.value).split()
    words = command_line.words(known.expanded(defaults.arguments))
    for word in ours:
        if word in words:
            words.reverse()
            words.remove(word)
            words.reverse()
    keys = {
        command_line.key(a.key)
        for a in request.arguments
        if a.key != 'hugepagesz' and a not in [f.argument for f in faulty]
    }
    for word in words:
        if command_line.key(word) in keys:
            who = known.source(defaults.arguments, word)
            who = who or f'/{defaults.source(word)}'
            yield Note(CONCERN, f'{who} also sets {word}')


def entry(
    request: Request, name: str, wanted: str, known: Environment
) -> Iterator[Item]:
    """Yield what keeps our arguments of an entry out."""
    for fault in effect.faults(known.expanded(wanted), request.arguments):
        who = known.source(wanted, fault.word) if fault.word else None
        yield Refusal(CONCERN, f'/{name}', _advice(fault, who or 'it'))
    yield from _tuned(request, wanted)


def _tuned(request: Request, text: str) -> Iterator[Note]:
    """Yield what TuneD sets where nothing takes it in."""
    keys = {command_line.key(a.key) for a in request.arguments}
    tuned = environment.tuned_arguments(request.host.tree)
    found = [
        word
        for word in command_line.words(tuned)
        if command_line.key(word) in keys
    ]
    if found:
        yield Note(CONCERN, f'TuneD also sets {" ".join(found)}')


def comments(request: Request, text: str) -> Iterator[Note]:
    """Yield what is to be known of comments in ``/etc/kernel/cmdline``."""
    lines = [
        line for line in text.split('\n') if command_line.is_comment(line)
    ]
    version = _systemd(request.host.tree)
    if lines and (version is None or version < _DROPS_COMMENTS):
        yield Note(
            CONCERN,
            f'/{CMDLINE} has comments, which systemd before '
            f'{_DROPS_COMMENTS} passes to the kernel as arguments: '
            f'{"; ".join(lines)[:120]}',
        )


def _systemd(tree: Tree) -> int | None:
    """Return systemd's version; None: it is not known."""
    for directory in _LIBRARIES:
        for name in tree.names(directory):
            match = _LIBRARY.match(name)
            if match:
                return int(match[1])
    return None
