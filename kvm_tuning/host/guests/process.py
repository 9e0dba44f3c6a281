"""A running guest's process and QEMU, for the readers of its devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from kvm_tuning.core.observed import Arguments, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.guests import qemu_args
from kvm_tuning.host.guests.threads import Monitor

_PLUGGED = Unknown(
    "it was plugged while the guest ran, so QEMU's arguments lack it",
    '--monitor',
)


@dataclass(frozen=True)
class Guest:
    """A running guest: its process, its QEMU, its descriptors."""

    process: Process
    arguments: Arguments | Unknown
    #: Where each open descriptor leads.
    links: Mapping[int, str] | Unknown
    monitor: Monitor | None = None

    def device(self, alias: str) -> qemu_args.Options | Unknown:
        """Return QEMU's ``-device`` with libvirt's alias."""
        if isinstance(self.arguments, Unknown):
            return self.arguments
        # User-chosen aliases (ua-...) are ids unchanged.
        return qemu_args.by_id(self.arguments, 'device', alias) or _PLUGGED

    def property(self, alias: str, name: str) -> object | Unknown:
        """Return a property of a device, from QEMU's arguments or else from
        the monitor. ``None``: the device was started without it.
        """
        device = self.device(alias)
        if not isinstance(device, Unknown):
            return device.get(name)
        if self.monitor is None:
            return device
        answer = self.monitor(_qom_get(alias, name))
        if 'return' in answer:
            found: object = answer['return']
            return found
        return Unknown(f'the monitor does not know {name} of {alias}')

    def number(
        self, alias: str, name: str, default: int | Unknown
    ) -> int | Unknown:
        """Return a numeric property, or ``default`` when it was not given."""
        value = self.property(alias, name)
        if isinstance(value, Unknown):
            return value
        if value is None:
            return default
        found = qemu_args.number(value)
        return Unknown(f'{name}={value!r}') if found is None else found

    def model(self, alias: str) -> str | Unknown:
        """Return the name of QEMU's device model."""
        device = self.device(alias)
        if not isinstance(device, Unknown):
            return str(device.get('driver') or device.get(''))
        if self.monitor is None:
            return device
        answer = self.monitor(_qom_get(alias, 'type'))
        return str(answer['return']) if 'return' in answer else device

    def fdinfo(self, descriptor: int) -> Mapping[str, str] | Unknown:
        return self.process.fields(f'fdinfo/{descriptor}')


def alias(element: etree._Element) -> str:
    """Return the alias of a device in a live document."""
    found = element.find('alias')
    return '' if found is None else found.get('name', '')


def _qom_get(alias: str, name: str) -> dict[str, Any]:
    return {
        'execute': 'qom-get',
        'arguments': {
            'path': f'/machine/peripheral/{alias}',
            'property': name,
        },
    }
