"""Sets a new host up: its configuration and units, and how far that has come.

While it is not finished the ready gate is shut (:mod:`kvm_tuning.host.ready`)
and the state says why. What is written does not depend on what was there, so
that it can be done at each boot.
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

#: Below the root. The shim of cloud-init writes it, too.
STATE = 'var/lib/kvm-tuning/provision.json'
CONFIGURATION = 'etc/kvm-tuning/conf.d/50-cloud-init.conf'
UNITS = 'etc/systemd/system'
RULES = 'etc/udev/rules.d'

#: What is shipped, and where it goes.
SHIPPED = {
    f'systemd/{UNIT}': f'{UNITS}/{UNIT}',
    'systemd/kvm-tuning-host-prep-device.service': (
        f'{UNITS}/kvm-tuning-host-prep-device.service'
    ),
    'udev/99-kvm-tuning-host-prep.rules': (
        f'{RULES}/99-kvm-tuning-host-prep.rules'
    ),
}
#: Where the shipped units look for the commands.
_COMMANDS = '/usr/bin/kvm-tuning'
_HEAD = '# Written by kvm-tuning host provision at each boot. Do not edit.\n'


class Step(enum.Enum):
    """How far it has come."""

    #: Begun; nothing holds yet.
    BEGUN = 'begun'
    #: Something was wrong, and is to be mended by a person.
    FAILED = 'failed'
    #: All is made, and the rest comes with a reboot.
    REBOOT = 'reboot'
    DONE = 'done'


@dataclass(frozen=True, slots=True)
class State:
    """How far a document has come."""

    step: Step
    digest: str
    reason: str = ''
    #: The boot in which a reboot was asked for.
    boot: str = ''


def digest(section: Any) -> str:
    """Return a name of a document, by its content."""
    text = json.dumps(section, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def state(tree: Tree) -> State | None:
    """Return how far it has come; None where nobody has begun.

    A state that cannot be read counts as begun: the gate stays shut.
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
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return State(Step.BEGUN, '', f'/{STATE} cannot be read')


def note(system: System, reached: State) -> None:
    """Write down how far it has come."""
    text = json.dumps(
        {
            'step': reached.step.value,
            'digest': reached.digest,
            'reason': reached.reason,
            'boot': reached.boot,
        }
    )
    _replace(system, STATE, f'{text}\n')


def unfinished(tree: Tree) -> str | None:
    """Return why a host that is set up by a document is not ready; None when
    it is not set up so, or this is done.
    """
    found = state(tree)
    if found is None or found.step in (Step.DONE, Step.REBOOT):
        return None
    if found.step is Step.FAILED:
        return f'setting this host up failed: {found.reason}'
    return f'setting this host up has not ended: {found.reason or "begun"}'


def files(tree: Tree, options: str) -> dict[str, str]:
    """Return the text of each file that is to be there, by its path.

    :param options: the host's configuration.
    :raises SettingRejected: this installation lacks what it ships.
    """
    found = {CONFIGURATION: _HEAD + options}
    for name, path in SHIPPED.items():
        # A distribution's package has its own, and its own paths.
        if tree.raw(f'usr/lib/systemd/system/{UNIT}') is None:
            found[path] = _shipped(name).replace(_COMMANDS, _command())
    return found


def write(system: System, wanted: Mapping[str, str]) -> list[str]:
    """Write the files that are not as wanted; return their paths."""
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
    """Have host-prep run at each boot.

    :param reload: whether units were written.
    :raises SettingRejected: systemd refuses.
    """
    commands = [['systemctl', 'enable', UNIT]]
    if reload:
        # (udev looks for changed rules by itself.)
        commands.insert(0, ['systemctl', 'daemon-reload'])
    for command in commands:
        try:
            system.run(command)
        except OSError as error:
            raise SettingRejected(
                f'{" ".join(command)}: {error.strerror or error}'
            ) from error


def _command() -> str:
    """Return the path of this installation's commands, up to the suffix."""
    places = (
        os.path.dirname(sys.executable),
        sysconfig.get_path('scripts'),
        '/usr/local/bin',
    )
    for place in places:
        path = os.path.join(place, 'kvm-tuning')
        if os.path.isfile(path):
            return path
    return _COMMANDS


def _shipped(name: str) -> str:
    """Return a file of ``etc/kvm_tuning``.

    :raises HostError: it is nowhere.
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
    raise HostError(f'{name} is not installed; looked for {", ".join(places)}')
