"""Plan the kernel arguments of each family of boot loaders."""

from collections.abc import Iterable, Iterator

from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.access.programs import ProgramMissing, installed
from kvm_tuning.host.prep.boot import (
    chosen,
    conflicts,
    effect,
    environment,
    grub_menu,
    grub_place,
    roots,
    sequels,
    started_by,
    unified_images,
    zipl,
)
from kvm_tuning.host.prep.boot.wanted import Family, Request
from kvm_tuning.host.prep.goals import Goal, Item, Note, Refusal, settled
from kvm_tuning.host.prep.kinds import boot_entries, boot_record, command_line
from kvm_tuning.host.prep.kinds.command_line import Unit
from kvm_tuning.host.prep.kinds.kernel_arguments import (
    CMDLINE,
    CONCERN,
    KernelArguments,
)

_OSTREE = ('ostree/repo', 'sysroot/ostree', 'boot/ostree')


def grub(request: Request) -> Iterator[Item]:
    """Yield the items of GRUB's menu."""
    host, tree = request.host, request.host.tree
    path = grub_menu.find(tree)
    name = grub_place.find(tree)
    if name is not None:
        commands = sequels.for_grub(tree)
        found = grub_place.read(host, name)
        goal = request.goal(name, found, request.value, commands=commands)
        if not goal.reached:
            yield from _programs(request, name, commands)
        yield from _grub_conflicts(request, name, goal)
        yield goal
    elif path is not None:
        menu = grub_menu.read(tree, path)
        if menu.kernels() and not menu.bls:
            yield from _by_hand(request, path)
    if path is not None:
        yield from _menu(request, path)


def _grub_conflicts(request: Request, name: str, goal: Goal) -> Iterator[Item]:
    try:
        yield from conflicts.grub(request, name)
    except InventoryUnreadable as error:
        if not goal.reached:
            raise
        yield Note(
            CONCERN, f'the menu has it, but whether the next one will: {error}'
        )


def _by_hand(request: Request, path: str) -> Iterator[Item]:
    """Yield the items of a menu that only its author changes."""
    menu = grub_menu.read(request.host.tree, path)
    texts = [
        entry.arguments or '' for entry in grub_place.own(request.host, menu)
    ]
    yield from _only_read(
        request,
        path,
        texts,
        '/etc/default/grub, from which it could be written, does not exist: '
        'add {} to its linux lines yourself',
    )


def _only_read(
    request: Request, name: str, texts: Iterable[str], advice: str
) -> Iterator[Item]:
    """Yield a reached goal for a place that is only read, or a refusal with
    ``advice`` on how to change it.
    """
    lacking: dict[str, None] = {}
    for text in texts:
        for fault in effect.faults(text, request.arguments):
            lacking[str(fault.argument)] = None
    if lacking:
        reason = advice.format(' '.join(lacking))
        yield Refusal(CONCERN, f'/{name}', reason)
    else:
        found = KernelArguments().read(request.host, name)
        yield request.goal(name, found, found or '')


def _menu(request: Request, path: str) -> Iterator[Item]:
    """Yield notes and refusals for entries of GRUB's menu without ours."""
    menu = grub_menu.read(request.host.tree, path)
    own = grub_place.own(request.host, menu)
    known = {id(entry) for entry in own}
    for entry in own:
        if entry.unknown:
            yield request.unseen(
                f'/{path}',
                f'{entry.title} has variables in its arguments that only '
                f'GRUB knows: {", ".join(entry.unknown)}',
            )
    names = dict.fromkeys(
        entry.kernel
        for entry in menu.kernels()
        if id(entry) not in known
        and not grub_place.is_rescue(entry)
        and not grub_place.has(entry, request.value)
    )
    if names:
        yield Note(
            CONCERN,
            f'/{path} starts {", ".join(names)} without {request.value}: '
            f'another Linux, or an entry written by hand',
        )
    first = menu.default()
    if (
        first is not None
        and own
        and id(first) not in known
        and first.arguments is not None
        and any(effect.faults(first.arguments, request.arguments))
    ):
        yield Refusal(
            CONCERN,
            f'/{path}',
            f'its default entry is {first.title!r}, which starts without '
            f'{request.value}: choose another by GRUB_DEFAULT or '
            f'grub-set-default',
        )


def entries(request: Request) -> Iterator[Item]:
    """Yield the items of boot entries."""
    host, tree = request.host, request.host.tree
    names: list[str] = []
    every: list[str] = []
    for directory in boot_entries.directories(tree):
        try:
            names += boot_entries.names_in(tree, directory)
            every += boot_entries.all_in(tree, directory)
        except InventoryUnreadable as error:
            yield request.unseen(f'/{directory}', error)
    known = environment.read(host) if names else environment.Environment()
    texts: dict[str, str] = {}
    for name in names:
        try:
            found = boot_entries.read(tree, name)
            if boot_entries.has_options(tree, name):
                texts[name] = known.expanded(found or '')
            else:
                # A test of memory, a program of the firmware.
                yield Note(
                    CONCERN,
                    f'/{name} has no options line and is left as it is',
                )
        except InventoryUnreadable as error:
            yield request.unseen(f'/{name}', error)
    own = roots.own(host, texts)
    for name in texts:
        if name in own:
            yield from _entry(request, name, known)
        else:
            root = command_line.value(texts[name], 'root')
            yield Note(
                CONCERN,
                f'/{name} starts another system (root={root}) and is left as '
                f'it is',
            )
    yield from _chosen(request, known, every, own)


def _chosen(
    request: Request,
    known: environment.Environment,
    every: list[str],
    own: frozenset[str],
) -> Iterator[Item]:
    """Yield a refusal when the default entry starts without ours."""
    path = chosen.entry(request.host, known, every)
    if path is None or path in own:
        return
    found = boot_entries.read(request.host.tree, path) or ''
    if any(effect.faults(known.expanded(found), request.arguments)):
        yield Refusal(
            CONCERN,
            f'/{path}',
            f'it is the default entry and starts without {request.value}: '
            f'choose another by bootctl set-default or grub2-set-default',
        )


def _entry(
    request: Request, name: str, known: environment.Environment
) -> Iterator[Item]:
    tree = request.host.tree
    found = KernelArguments().read(request.host, name)
    text = settled(found) or ''
    unknown = known.unknown(text)
    if unknown:
        yield request.unseen(
            f'/{name}',
            f'its options have variables that only GRUB knows: '
            f'{", ".join(unknown)}',
        )
    elif not text.isprintable() and not text.replace('\n', ' ').isprintable():
        yield request.unseen(f'/{name}', 'its options are not text')
    elif _is_ostree(request, text):
        yield from _only_read(
            request,
            name,
            [known.expanded(text)],
            'OSTree writes it and would lose a change: run rpm-ostree kargs '
            '--append-if-missing for each of {}, then reboot',
        )
    else:
        original = boot_record.original(tree, request.record, name, text)
        wanted = _merged(original, request)
        if '$' in original and not any(
            effect.faults(known.expanded(original), request.arguments)
        ):
            # A variable brings them all.
            wanted = original
        commands = sequels.for_entries(tree)
        dropped = _dropped(text, wanted)
        if found != wanted:
            yield from _programs(request, name, commands)
        yield from conflicts.entry(request, name, wanted, known)
        yield request.goal(name, found, wanted, dropped, commands)


def _is_ostree(request: Request, text: str) -> bool:
    if command_line.value(text, 'ostree') is not None:
        return True
    tree = request.host.tree
    return any(tree.real(path) is not None for path in _OSTREE)


def cmdline(request: Request) -> Iterator[Item]:
    """Yield the items of ``/etc/kernel/cmdline``, from which the entries and
    unified images of new kernels are made.
    """
    host, tree = request.host, request.host.tree
    found = KernelArguments().read(host, CMDLINE)
    if found is None:
        return
    text = settled(found) or ''
    original = boot_record.original(tree, request.record, CMDLINE, text)
    wanted = _merged(original, request)
    commands = sequels.for_cmdline(tree)
    if found != wanted:
        yield from _programs(request, CMDLINE, commands)
    yield from conflicts.comments(request, original)
    dropped = _dropped(text, wanted)
    yield request.goal(CMDLINE, found, wanted, dropped, commands)


def images(request: Request) -> Iterator[Item]:
    """Yield the items of unified kernel images."""
    tree = request.host.tree
    if sequels.builder(tree) and tree.real(CMDLINE) is not None:
        return
    for path, text in unified_images.own(request.host).items():
        if text is None:
            continue
        yield from _only_read(
            request,
            path,
            [text],
            'its command line is inside, and no program that builds it is '
            'known here: add {} to its sources and build it again',
        )


def zipl_sections(request: Request) -> Iterator[Item]:
    """Yield the items of zipl's own configuration, where no entries exist."""
    tree = request.host.tree
    texts = list(zipl.read(tree))
    if not texts or any(boot_entries.names(tree)):
        return
    yield from _only_read(
        request,
        zipl.PATH,
        texts,
        'add {} to its parameters yourself, and run zipl',
    )


def found_at_all(request: Request) -> Iterator[Item]:
    """Yield a row when no boot loader can be found."""
    host, tree = request.host, request.host.tree
    has_entries = any(boot_entries.names(tree))
    images = any(unified_images.paths(tree))
    menu = grub_menu.find(tree) is not None or (
        grub_place.find(tree) is not None
    )
    loader = started_by.loader(host)
    if sequels.is_hidden(tree, CMDLINE):
        return
    if loader == started_by.SYSTEMD_BOOT and not (has_entries or images):
        yield request.unseen(
            'boot entries',
            'systemd-boot started this kernel, and none of its entries was '
            'found: mount the EFI system partition',
        )
    elif not (has_entries or images or menu or any(zipl.read(tree))):
        yield request.unseen(
            'boot loader',
            f'no known boot loader was found (a menu of GRUB in /boot, boot '
            f'entries on /boot, /boot/efi or /efi, a unified image): mount '
            f'/boot, or add {request.value} to the kernel command line '
            f'yourself',
        )


#: Each family with the subject of its row when it cannot be read.
ALL: tuple[tuple[str, Family], ...] = (
    ("GRUB's menu", grub),
    ('boot entries', entries),
    (f'/{CMDLINE}', cmdline),
    ('unified kernel images', images),
    (f'/{zipl.PATH}', zipl_sections),
    ('boot loader', found_at_all),
)


def _programs(
    request: Request, name: str, commands: sequels.Commands
) -> Iterator[Refusal]:
    """Yield a refusal for each program that is needed and is not there."""
    for command in commands:
        if installed(request.host.tree, command[0]) is False:
            missing = ProgramMissing(command[0], 'the paths of the system')
            yield Refusal(CONCERN, f'/{name}', str(missing.strerror))


def _merged(found: str, request: Request) -> str:
    """Return the arguments of an entry with ours in place of any others."""
    names = {command_line.key(name) for name in request.managed}
    sizes = page_sizes(request)

    def gone(unit: Unit) -> bool:
        word, size = unit
        return (
            command_line.key(word) in names
            if size is None
            else (size in sizes)
        )

    return command_line.edited(found, gone, request.value)


def page_sizes(request: Request) -> frozenset[int]:
    """Return the sizes of huge pages that the arguments are about."""
    return frozenset(
        command_line.page_size(argument.value.split()[0])
        for argument in request.arguments
        if argument.key == 'hugepagesz'
    )


def _dropped(found: str, wanted: str) -> str:
    """Say what goes and nothing of the same name comes for."""
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
