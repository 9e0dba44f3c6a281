"""Find who else sets the settings of host-prep: TuneD, ksmtuned, ...

TuneD's profiles are read from its directories (tuned-main.conf(5),
tuned-profiles(7)); a profile includes others by ``include=``.
"""

from collections.abc import Iterator
import re

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import environment
from kvm_tuning.host.prep.goals import Goal
from kvm_tuning.host.prep.groups.group import NOBODY, Rivals
from kvm_tuning.host.prep.groups.table import BY_NAME
from kvm_tuning.host.prep.kinds import (
    command_line,
    kernel_arguments,
    modprobe,
    services,
)
from kvm_tuning.host.prep.writers import find as writers
from kvm_tuning.host.prep.writers import names, target

_TUNED_DIRECTORIES = (
    'etc/tuned/profiles',
    'etc/tuned',
    'usr/lib/tuned/profiles',
    'usr/lib/tuned',
)
#: Kinds of setting that are named for a module's parameter.
_PARAMETERS = (
    SettingKind.MODULE_PARAMETER,
    SettingKind.RUNNING_PARAMETER,
)
_MOST_PROFILES = 16
#: Most characters of the text about a writer, whose values may be long.
_MOST_TEXT = 400


def find(host: Host, goal: Goal) -> list[str]:
    """Return who else sets what a goal sets, in a few words each."""
    found: dict[str, None] = {}
    try:
        for who in _find(host, goal):
            found[who] = None
    except InventoryUnreadable as error:
        found[f'it is unknown who else sets it: {error}'] = None
    return list(found)


def _find(host: Host, goal: Goal) -> Iterator[str]:
    group = BY_NAME.get(goal.concern)
    known = NOBODY if group is None else group.rivals or NOBODY
    profile = tuned_profile(host)
    if profile and known.tuned:
        for line in _profile_lines(host, profile):
            if re.search(known.tuned, line):
                yield f'TuneD ({profile})'
    yield from _kernel(host, goal, known)
    if goal.setting.kind == kernel_arguments.KIND:
        yield from _tuned_arguments(host, goal)
    for prefix, name in known.daemons.items():
        if goal.setting.name.startswith(prefix) and services.active(
            host.tree, f'{name}.service'
        ):
            yield name
    if known.find is not None:
        yield from known.find(host, goal)
        return
    name = _attribute(goal)
    if any(re.fullmatch(pattern, name) for pattern in known.attributes):
        wanted = target.target(names.of(host, name))
        for writer in writers.find(host, wanted):
            yield f'{writer.name} ({writer.text[:_MOST_TEXT]})'


def _tuned_arguments(host: Host, goal: Goal) -> Iterator[str]:
    """Yield TuneD with the same kernel arguments, if it sets any."""
    wanted = command_line.words(goal.setting.value)
    keys = {command_line.key(word) for word in wanted}
    words = command_line.words(environment.tuned_arguments(host.tree))
    found = [word for word in words if command_line.key(word) in keys]
    if found:
        yield f'TuneD (/{environment.TUNED}: {" ".join(found)})'


def _attribute(goal: Goal) -> str:
    """Return the file of a setting, relative to the root."""
    name = goal.setting.name
    if goal.setting.kind not in _PARAMETERS:
        return name
    module, _dot, parameter = name.partition('.')
    return f'sys/module/{module}/parameters/{parameter}'


def _kernel(host: Host, goal: Goal, known: Rivals) -> Iterator[str]:
    if goal.setting.kind in _PARAMETERS:
        # modprobe passes these on, and a built-in module reads them (the
        # kernel's admin-guide/kernel-parameters.rst).
        names: tuple[str, ...] = (goal.setting.name,)
    elif goal.setting.kind == SettingKind.SYSFS:
        names = known.arguments
    else:
        names = ()
    for name in names:
        value = command_line.value(host.command_line, name)
        if value is not None:
            yield f'kernel command line ({name}={value})'
    if goal.setting.kind in _PARAMETERS:
        for path, value in modprobe.foreign(host.tree, goal.setting.name):
            yield f'modprobe.d (/{path} sets {goal.setting.name}={value})'


def tuned_profile(host: Host) -> str | None:
    """Return TuneD's active profile; None when TuneD is not running."""
    if not services.active(host.tree, 'tuned.service'):
        return None
    return host.tree.foreign('etc/tuned/active_profile') or None


def _profile_lines(host: Host, names: str) -> Iterator[str]:
    waiting, seen = names.split(), set[str]()
    while waiting and len(seen) < _MOST_PROFILES:
        name = waiting.pop(0)
        if name in seen or '/' in name:
            continue
        seen.add(name)
        for directory in _TUNED_DIRECTORIES:
            text = host.tree.foreign(f'{directory}/{name}/tuned.conf')
            if text is None:
                continue
            for line in text.splitlines():
                if line.strip().startswith(('#', ';')):
                    continue
                include = re.fullmatch(r'\s*include\s*=\s*(.*?)\s*', line)
                if include:
                    waiting += re.split(r'[,\s]+', include[1])
                yield line
            break
