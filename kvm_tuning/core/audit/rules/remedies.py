"""What to do about a finding of the audit, by its code.

A finding says itself what was found and why it matters; here is what is
usually behind it, who has to act, and what helps.
"""

from dataclasses import dataclass

_OPERATOR = "the host's operator"
_OWNER = 'the owner of the flavor'


@dataclass(frozen=True, slots=True)
class Remedy:
    """What helps against some codes, in reStructuredText."""

    codes: tuple[str, ...]
    cause: str
    who: str
    act: str


_RESTART = (
    'Power the guest off and start it again: under Nova with ``openstack '
    'server reboot --hard``, else with ``kvm-tuning guest start``. When the '
    'definition itself was changed, make it anew first with ``kvm-tuning '
    'guest tune``.'
)

REMEDIES = (
    Remedy(
        ('vcpu-affinity', 'emulator-affinity', 'iothread-affinity'),
        'Somebody has moved the threads (``taskset``, ``virsh vcpupin``, a '
        'cpuset of systemd), or pCPUs were offline meanwhile.',
        _OPERATOR,
        'Under Nova, restart nova-compute: it pins them as promised. Else '
        'pin them as the definition says, with ``virsh vcpupin``, '
        '``emulatorpin`` or ``iothreadpin``, or let ``kvm-tuning guest '
        'repin`` find them a new place.',
    ),
    Remedy(
        ('vhost-affinity', 'vf-attribute'),
        'The guest was not started by us, and libvirt has no word for this; '
        'or somebody has changed it since.',
        _OPERATOR,
        '``kvm-tuning guest reconcile`` makes it. ``kvm-tuning host hooks '
        'install`` has it made at every start.',
    ),
    Remedy(
        ('pcpu-claimed-twice', 'pcpu-of-another-guest'),
        'A guest was started without us, or was pinned by hand. A guest that '
        'nobody has pinned floats over all pCPUs.',
        _OPERATOR,
        'Move one of the two: ``kvm-tuning guest repin``, or a migration. '
        'Keep unpinned guests on ``shared_cpus`` (Nova: ``cpu_shared_set``).',
    ),
    Remedy(
        ('memory-policy', 'memory-cell'),
        'The memory was moved (``migratepages``, automatic NUMA balancing), '
        'or was taken before it was bound; a preference lets it spill over.',
        _OPERATOR,
        'See that the cell has room, then start the guest anew. '
        '``kvm:memory_locality=strict`` refuses what does not fit.',
    ),
    Remedy(
        ('page-size', 'allocation', 'locked', 'memory-size'),
        'The guest runs with a definition of before, or its balloon was '
        'moved.',
        _OPERATOR,
        _RESTART,
    ),
    Remedy(
        ('page-sharing', 'pages-merged'),
        'KSM runs, and the guest was started before its pages were kept from '
        'it. Pages of a guest that allows it are merged rightly.',
        _OPERATOR,
        '``kvm:page_sharing=false`` in the flavor, and a new start; for the '
        'whole host ``[ksm] run = off`` and ``kvm-tuning host apply``.',
    ),
    Remedy(
        ('transparent-huge-pages', 'transparent-huge-pages-mode'),
        "The host's mode is another one than was promised, or its memory is "
        'too fragmented for huge pages.',
        _OPERATOR,
        'Set ``[transparent_huge_pages]`` and run ``kvm-tuning host apply``; '
        '``[compaction]`` helps against fragments.',
    ),
    Remedy(
        (
            'disk-cache',
            'disk-io',
            'disk-iothread',
            'disk-queues',
            'disk-model',
            'vif-backend',
            'vif-queues',
            'vif-ring',
            'vif-model',
            'vcpus',
            'iothreads',
            'guest-topology',
            'guest-cells',
            'cache-topology',
        ),
        'The running QEMU was started with something else: the guest was '
        'tuned while it ran, a device was attached without us, or libvirt '
        'left something out.',
        _OPERATOR,
        _RESTART,
    ),
    Remedy(
        ('iothread-idle',),
        'The flavor asks for more iothreads than disks use.',
        _OWNER,
        'Ask for fewer with ``kvm:iothreads``, or spread the disks with '
        '``kvm:disk_iothread_map``.',
    ),
    Remedy(
        ('host-device', 'vif-type', 'vf-vlan'),
        "The device was taken from the guest, or its PF's settings were "
        'changed by hand or by an agent.',
        _OPERATOR,
        'Start the guest anew: libvirt binds the device and sets MAC and VLAN '
        "then. Under Nova the VLAN is the Neutron port's.",
    ),
    Remedy(
        ('macvtap-mode', 'macvtap-lower'),
        'The link of the macvtap was changed with ``ip link``, or made anew.',
        _OPERATOR,
        'Detach and attach the NIC, or start the guest anew.',
    ),
    Remedy(
        ('drift',),
        'The definition was changed after it was tuned: ``virsh edit``, or '
        'another tool.',
        'who has changed it',
        '``kvm-tuning guest plan`` shows the difference. ``kvm-tuning guest '
        'tune`` puts it right (Nova: a hard reboot), ``guest undo`` gives up '
        'the promises.',
    ),
    Remedy(
        ('preference-not-kept',),
        "What a profile or the host's defaults prefer was not to be had when "
        'the guest was placed.',
        'nobody',
        'To insist on it, ask for it in the flavor (with a policy of '
        '``strict`` where there is one): what cannot be kept is refused then.',
    ),
    Remedy(
        ('not-running',),
        'The guest is off.',
        'nobody',
        'Start it, and audit again.',
    ),
    Remedy(
        ('no-receipt',),
        'Nothing was promised: the guest was made without us, or its flavor '
        'asks for nothing.',
        'nobody',
        '``kvm-tuning guest tune``, or a flavor with ``kvm:`` keys.',
    ),
    Remedy(
        ('receipt-unreadable',),
        'Somebody has edited the metadata in the definition, or it comes '
        'from a newer version of this package.',
        _OPERATOR,
        'Upgrade the package, or tune the guest anew (Nova: a hard reboot).',
    ),
    Remedy(
        ('not-observed', 'unaudited', 'guest-setting'),
        'It could not be seen: rights are missing, QEMU has just ended, '
        'no rule knows the address, or only the guest knows.',
        _OPERATOR,
        'The finding says what it would need: root, or ``--monitor``. For '
        'settings inside of the guest, look there.',
    ),
)

#: The same by code.
BY_CODE = {code: remedy for remedy in REMEDIES for code in remedy.codes}
