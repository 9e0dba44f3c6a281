"""Read and write kernel modules and their parameters.

By modprobe.d(5) the options of all files are joined in the order of the files'
names, and the kernel takes the last value of a parameter. A module does not
load at all with a value that it does not accept.
"""

from collections.abc import Iterator
import errno
import os
import re

from kvm_tuning.host.access import attribute
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Value
from kvm_tuning.host.prep.kinds.kind import ALL_DEVICES

OPTIONS = 'etc/modprobe.d/kvm-tuning.conf'
LOAD = 'etc/modules-load.d/kvm-tuning.conf'
#: The running value of a module that is not loaded.
NOT_LOADED = 'not loaded'
_HEAD = '# Written by kvm-tuning host apply. Do not edit.'
# modprobe.d(5), in order of precedence.
_DIRECTORIES = (
    'etc/modprobe.d',
    'run/modprobe.d',
    'usr/local/lib/modprobe.d',
    'usr/lib/modprobe.d',
    'lib/modprobe.d',
)
_OPTION = re.compile(r'\s*options\s+(\S+)\s+(.*)')


class ModuleParameter:
    """Our ``options`` line; its name is ``module.parameter``."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        return _own(host.tree).get(name)

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        own = _own(system.tree())
        own.pop(name, None)
        if value is not None:
            own[name] = value
        lines = []
        for each, text in sorted(own.items()):
            module, _dot, parameter = each.partition('.')
            lines.append(f'options {module} {parameter}={text}')
        _replace(system, OPTIONS, lines)

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{OPTIONS}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(OPTIONS)

    def devices(self, name: str) -> str:
        return ''


class ModuleLoad:
    """A module that is loaded at boot (modules-load.d(5))."""

    volatile = False
    revives = True

    def read(self, host: Host, name: str) -> Value:
        return 'loaded at boot' if name in _listed(host.tree) else None

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        names = _listed(system.tree()) - {name}
        if value is not None:
            names.add(name)
        _replace(system, LOAD, sorted(names))

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{LOAD}'

    def tidy(self, system: System, name: str) -> None:
        system.tidy(LOAD)

    def devices(self, name: str) -> str:
        return ''


class Module:
    """Whether a module is in the running kernel."""

    volatile = True
    revives = True

    def read(self, host: Host, name: str) -> Value:
        return 'loaded' if loaded(host.tree, name) else None

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        options = [] if value is not None else ['-r']
        system.run(['modprobe', *options, name])

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{LOAD}'

    def tidy(self, system: System, name: str) -> None:
        pass

    def devices(self, name: str) -> str:
        return ALL_DEVICES


class RunningParameter:
    """A parameter of a loaded module, which is reloaded where the kernel
    does not let the parameter be written. modprobe gets the value as well, in
    case modprobe.d has another one by then.
    """

    volatile = True
    revives = True

    def read(self, host: Host, name: str) -> Value:
        module, _dot, parameter = name.partition('.')
        if parameter == 'max_vfs':
            return vf_counts(host, module)
        return running(host.tree, name)

    def write(
        self, system: System, name: str, value: Value, timeout: float
    ) -> None:
        module, _dot, parameter = name.partition('.')
        if value is None or value.startswith('mixed'):
            raise OSError(
                errno.EINVAL, 'loading the module cannot restore this'
            )
        path = f'sys/module/{module}/parameters/{parameter}'
        if parameter != 'max_vfs' and writable(system.tree(), name):
            system.write(path, value, timeout)
            return
        if loaded(system.tree(), module):
            system.run(['modprobe', '-r', module])
        system.run(['modprobe', module, f'{parameter}={value}'])

    def between(self, found: Value, target: Value) -> tuple[str, ...]:
        return ()

    def place(self, name: str) -> str:
        return f'/{OPTIONS}'

    def tidy(self, system: System, name: str) -> None:
        pass

    def devices(self, name: str) -> str:
        return ALL_DEVICES


def loaded(tree: Tree, name: str) -> bool:
    """Return whether a module is loaded, or built in with parameters."""
    return bool(tree.names(f'sys/module/{name.replace("-", "_")}'))


def built_in(tree: Tree, name: str) -> bool:
    """Return whether a module is built into the kernel: it has parameters
    and no reference count, and modprobe.d does not apply to it.
    """
    home = f'sys/module/{name}'
    return bool(tree.names(home)) and tree.text(f'{home}/refcnt') is None


def running(tree: Tree, name: str) -> Value:
    """Return a parameter of the running kernel; None when not shown."""
    module, _dot, parameter = name.partition('.')
    text = tree.text(f'sys/module/{module}/parameters/{parameter}')
    return None if text is None else attribute.plain(text)


def writable(tree: Tree, name: str) -> bool:
    """Return whether a parameter can be written while its module is loaded."""
    module, _dot, parameter = name.partition('.')
    path = f'{tree.root}/sys/module/{module}/parameters/{parameter}'
    try:
        return bool(os.lstat(path).st_mode & 0o200)
    except OSError:
        return False


def vf_counts(host: Host, driver: str) -> Value:
    """Return the number of VFs of a driver's ports if all have the same,
    otherwise ``mixed`` and the numbers.
    """
    counts = [
        len(device.vfs)
        for device in host.inventory.devices
        if device.driver == driver and device.total_vfs
    ]
    if not counts:
        return None
    if len(set(counts)) == 1:
        return str(counts[0])
    return f'mixed: {",".join(map(str, counts))}'


def foreign(tree: Tree, name: str) -> list[tuple[str, str]]:
    """Return (path, value) of a parameter in others' files, in the order in
    which modprobe reads them.
    """
    module, _dot, parameter = name.partition('.')
    found = []
    for path in _files(tree):
        if path == OPTIONS:
            continue
        for each, options in _lines(tree.foreign(path) or ''):
            if each.replace('-', '_') != module.replace('-', '_'):
                continue
            for word in options.split():
                key, _equals, value = word.partition('=')
                if key == parameter:
                    found.append((path, value))
    return found


def overrides(path: str) -> bool:
    """Return whether a file overrides ours."""
    return os.path.basename(path) > os.path.basename(OPTIONS)


def _files(tree: Tree) -> list[str]:
    """Return the files that modprobe reads, by name; one in a directory of
    higher precedence hides others of its name.
    """
    found: dict[str, str] = {}
    for directory in _DIRECTORIES:
        for name in tree.names(directory):
            if name.endswith('.conf'):
                found.setdefault(name, f'{directory}/{name}')
    return [found[name] for name in sorted(found)]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace('\\\n', ' ').splitlines():
        match = _OPTION.fullmatch(line.partition('#')[0].rstrip())
        if match:
            yield match[1], match[2]


def _own(tree: Tree) -> dict[str, str]:
    found = {}
    for module, options in _lines(tree.text(OPTIONS) or ''):
        for word in options.split():
            key, _equals, value = word.partition('=')
            found[f'{module}.{key}'] = value
    return found


def _listed(tree: Tree) -> set[str]:
    lines = (tree.text(LOAD) or '').splitlines()
    return {line for line in lines if line and not line.startswith('#')}


def _replace(system: System, path: str, lines: list[str]) -> None:
    if lines:
        system.replace(path, '\n'.join([_HEAD, *lines]) + '\n')
    else:
        system.remove(path)
