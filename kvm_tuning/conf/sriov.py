"""``[sriov]``: virtual functions of network ports."""

from oslo_config import cfg, types

GROUP = 'sriov'

OPTIONS = (
    cfg.MultiOpt(
        'vfs',
        item_type=types.String(max_length=128),
        help="""
How many VFs a port is to have: ``enp65s0f0=7`` by its interface,
``0000:41:00.0=7`` by its PCI address, ``driver:igb=7`` for all ports of a
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
