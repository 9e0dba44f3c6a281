"""Set up a new host: its configuration, its units and the progress of it.

Until that is finished, the ready gate (:mod:`kvm_tuning.host.ready`) is shut
and the recorded state says why. The files written do not depend on what was
there, so this can run at each boot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import enum
import hashlib
import json
import os
import sys
import sysconfig
from typing import Any

from kvm_tuning.core.exceptions import HostError, SettingRejected
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.access.system import System
from kvm_tuning.host.prep.kinds.kind import UNIT

#: Below the root. The cloud-init module writes it as well.
STATE = 'var/lib/kvm-tuning/provision.json'
CONFIGURATION = 'etc/kvm-tuning/conf.d/50-cloud-init.conf'
UNITS = 'etc/systemd/system'
RULES = 'etc/udev/rules.d'

#: Shipped files, and where they are installed.
SHIPPED = {
    f'systemd/{UNIT}': f'{UNITS}/{UNIT}',
    'systemd/kvm-tuning-host-prep-device.service': (
        f'{UNITS}/kvm-tuning-host-prep-device.service'
    ),
    'udev/99-kvm-tuning-host-prep.rules': (
        f'{RULES}/99-kvm-tuning-host-prep.rules'
    ),
}
#: The commands, as the shipped units name them.
COMMANDS = '/usr/bin/kvm-tuning'
_HEAD = '# Written by kvm-tuning host provision at each boot. Do not edit.\n'


class Step(enum.Enum):
    """The progress of setting up a host."""

    #: Started, not finished.
    BEGUN = 'begun'
    #: Failed: a person must act.
    FAILED = 'failed'
    #: All is made; some of it takes effect after a reboot.
    REBOOT = 'reboot'
    DONE = 'done'


@dataclass(frozen=True, slots=True)
class State:
    """The progress of one document."""

    step: Step
    digest: str
    reason: str = ''
    #: The boot in which a reboot was requested.
    boot: str = ''
    #: The boot in which this was last done.
    ran: str = ''


def digest(section: Any) -> str:
    """Return a digest that identifies a document.

    cc_kvm_tuning.py makes the same digest.
    """
    try:
        text = json.dumps(section, sort_keys=True)
    except (TypeError, ValueError):
        # JSON cannot carry it; it is refused.
        text = repr(section)
    return hashlib.sha256(text.encode()).hexdigest()


def state(tree: Tree) -> State | None:
    """Return the recorded state; None when nothing was started.

    A file that cannot be parsed counts as started: the gate stays shut.
    """
    text = tree.text(STATE)
    if text is None:
        return None
    try:
        found: Mapping[str, str] = json.loads(text)
        return State(
            Step(found['step']),
            str(found.get('digest', '')),
            str(found.get('reason', '')),
            str(found.get('boot', '')),
            str(found.get('ran', '')),
        )
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError,
    ):  # fmt: skip
        return State(Step.BEGUN, '', f'/{STATE} cannot be parsed')


def note(system: System, reached: State) -> None:
    """Record the state."""
    text = json.dumps(
        {
            'step': reached.step.value,
            'digest': reached.digest,
            'reason': reached.reason,
            'boot': reached.boot,
            'ran': reached.ran,
        }
    )
    _replace(system, STATE, f'{text}\n')


def unfinished(tree: Tree) -> str | None:
    """Return why setting up the host is not finished; None when it is, or
    when the host is not set up by a document.
    """
    found = state(tree)
    if found is None or found.step in (Step.DONE, Step.REBOOT):
        return None
    if found.step is Step.FAILED:
        return f'setting this host up failed: {found.reason}'
    return (
        f'setting this host up has not finished: {found.reason or "started"}'
    )


def files(tree: Tree, options: str) -> dict[str, str]:
    """Return the text of each file to install, by its path.

    :param options: the host's configuration.
    :raises HostError: this installation lacks a shipped file.
    """
    found = {CONFIGURATION: _HEAD + options}
    for name, path in SHIPPED.items():
        # A distribution's package brings its own, with its own paths.
        if tree.raw(f'usr/lib/systemd/system/{UNIT}') is None:
            found[path] = shipped(name).replace(COMMANDS, _command())
    return found


def write(system: System, wanted: Mapping[str, str]) -> list[str]:
    """Write the files that differ and return their paths."""
    tree = system.tree()
    written = []
    for path, text in wanted.items():
        if tree.raw(path) != text.encode():
            _replace(system, path, text)
            written.append(f'/{path}')
    return written


def _replace(system: System, path: str, text: str) -> None:
    try:
        system.replace(path, text)
    except OSError as error:
        raise SettingRejected(
            f'/{path} cannot be written: {error.strerror}'
        ) from error


def enable(system: System, reload: bool) -> None:
    """Enable host-prep at boot.

    :param reload: whether unit files were written.
    :raises SettingRejected: systemd refuses.
    """
    commands = [['systemctl', 'enable', UNIT]]
    if reload:
        # udev notices changed rules by itself.
        commands.insert(0, ['systemctl', 'daemon-reload'])
    for command in commands:
        try:
            system.run(command)
        except OSError as error:
            raise SettingRejected(
                f'{" ".join(command)}: {error.strerror or error}'
            ) from error


def _command() -> str:
    """Return the path of this installation's command ``kvm-tuning``."""
    places = (
        os.path.dirname(sys.executable),
        sysconfig.get_path('scripts'),
        '/usr/local/bin',
    )
    for place in places:
        path = os.path.join(place, 'kvm-tuning')
        if os.path.isfile(path):
            return path
    return COMMANDS


def shipped(name: str) -> str:
    """Return the text of a file of ``etc/kvm_tuning``.

    :raises HostError: it was not found.
    """
    checkout = os.path.join(os.path.dirname(__file__), *['..'] * 3)
    places = [
        os.path.join(base, name)
        for base in (
            os.path.join(sysconfig.get_path('data'), 'etc/kvm_tuning'),
            '/usr/local/etc/kvm_tuning',
            '/usr/share/kvm-tuning',
            os.path.join(checkout, 'etc/kvm_tuning'),
        )
    ]
    for place in places:
        if os.path.isfile(place):
            with open(place, encoding='utf-8') as stream:
                return stream.read()
    raise HostError(
        f'{name} is not installed: none of {", ".join(places)} exists'
    )
