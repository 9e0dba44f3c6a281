"""``[sriov]``: virtual functions of network ports, as a group of settings."""

from collections.abc import Iterator, Mapping
import re
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core.effects import SettingKind
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.goals import Address, Goal
from kvm_tuning.host.prep.groups.group import Group, Rivals, Way
from kvm_tuning.host.prep.groups.sriov import (
    identity,
    max_vfs,
    owners,
    ports,
    route,
    selectors,
)
from kvm_tuning.host.prep.kinds import vf_count

_VFS = re.compile(r'([\w.:@-]{1,64})\s*=\s*(\d{1,4})')

OPTIONS = (
    cfg.MultiOpt(
        'vfs',
        item_type=types.String(max_length=128),
        help="""
How many VFs a port is to have: ``enp65s0f0=7`` by its interface,
``0000:41:00.0=7`` or ``41:00.0=7`` by its PCI address,
``52:54:00:0a:0b:0c=7`` by its MAC address, ``driver:igb=7`` for all ports of a
driver. Give it several times for several ports. Ports that are not named are
not touched, whoever made their VFs.
""",
    ),
    cfg.StrOpt(
        'method',
        default='auto',
        choices=('auto', 'sysfs', 'max_vfs'),
        help="""
How VFs are made. ``auto`` and ``sysfs`` use the kernel's sriov_numvfs;
``max_vfs`` also writes ``options igb max_vfs=N`` for the driver igb, so that
VFs are there as soon as it is loaded, and keeps both of one mind.
""",
    ),
    cfg.BoolOpt(
        'reload',
        default=False,
        help="""
Whether method ``max_vfs`` may unload and load igb to bring the parameter into
force at once. All ports of igb are gone for a moment; it is refused while one
of them carries traffic of the host or a VF is in use.
""",
    ),
    cfg.BoolOpt(
        'drivers_autoprobe',
        help="""
Whether the host's own driver is bound to VFs when they are made
(sriov_drivers_autoprobe). ``false`` leaves them unbound, so that no interface
appears on the host. It is set while VFs are made and restored then. Unset:
not touched.
""",
    ),
    cfg.ListOpt(
        'allow',
        default=[],
        item_type=types.String(
            choices=('address', 'storage', 'managed', 'stopped-guest')
        ),
        help="""
What may be done although it is refused by default. ``address``: change the
VFs of a port that carries the host's address or its default route, itself or
through a bond, bridge, VLAN, team or Open vSwitch. ``storage``: of a port
that storage is reached through. ``managed``: of a port that NetworkManager,
networkd, netplan or another program manages. ``stopped-guest``: take away a
VF that a stopped guest refers to. VFs of running guests are never taken away.
""",
    ),
)


def wanted(conf: Any) -> ports.Wanted | None:
    """Return what the configuration wants; None: nothing.

    :raises ConfigInvalid: a line of ``vfs`` is not valid.
    """
    found: dict[str, int] = {}
    for text in conf.sriov.vfs or ():
        match = _VFS.fullmatch(text.strip())
        if match is None:
            raise ConfigInvalid(
                f'[sriov] vfs = {text[:64]}: want a port and a number, such '
                f'as enp65s0f0=7, 0000:41:00.0=7 or driver:igb=7'
            )
        count = int(match[2])
        if found.setdefault(match[1], count) != count:
            raise ConfigInvalid(
                f'[sriov] vfs: {match[1]} has two numbers, {found[match[1]]} '
                f'and {count}'
            )
    if not found:
        return None
    return ports.Wanted(found, conf.sriov.method, conf.sriov.reload)


def chosen(conf: Any, host: Host) -> dict[str, int]:
    """Return the number of VFs that ports are to have, by PCI address."""
    found = wanted(conf)
    if found is None:
        return {}
    pfs = ports.read(host).pfs
    return {
        pf.device.address: count
        for selector, count in found.vfs.items()
        for pf in selectors.select(selector, pfs)
    }


def _autoprobe(conf: Any, host: Host) -> Mapping[Address, str]:
    """Return each port's ``sriov_drivers_autoprobe`` while VFs are made."""
    asked = conf.sriov.drivers_autoprobe
    if asked is None:
        return {}
    return {
        route.autoprobe(address): str(int(asked))
        for address in chosen(conf, host)
    }


def _rivals(host: Host, goal: Goal) -> Iterator[str]:
    for device in host.inventory.devices:
        if goal.setting.name == vf_count.path(device.address):
            for owner in owners.find(host, identity.read(host, device)):
                yield f'{owner.name} ({owner.text})'
            if device.driver == 'igb':
                yield from max_vfs.rivals(host, 'igb')


GROUP = Group(
    ports.CONCERN,
    OPTIONS,
    wanted,
    ports.read,
    ports.plan,
    rivals=Rivals(attributes=(vf_count.PATTERN,), find=_rivals),
    persisted='the unit, at each boot, and with method = max_vfs a line in '
    'modprobe.d',
    undone='the former numbers, under the same rules',
    ways=(
        Way(SettingKind.SYSFS, vf_count.PATTERN, route.route),
        Way(SettingKind.RUNNING_PARAMETER, r'.*\.max_vfs', route.reload_route),
    ),
    meanwhile=_autoprobe,
)
