"""Remedies for the findings of the audit, by code.

The finding itself says what was found and why it matters; a remedy gives the
usual cause, who has to act, and what helps.
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
    'server reboot --hard``, otherwise with ``kvm-tuning guest start``. If '
    'the definition itself was changed, tune it again first with '
    '``kvm-tuning guest tune``.'
)

REMEDIES = (
    Remedy(
        ('vcpu-affinity', 'emulator-affinity', 'iothread-affinity'),
        'Somebody moved the threads (``taskset``, ``virsh vcpupin``, a '
        'systemd cpuset), or pCPUs went offline.',
        _OPERATOR,
        'Under Nova, restart nova-compute: it pins them as promised. '
        'Otherwise pin them as the definition says, with ``virsh vcpupin``, '
        '``emulatorpin`` or ``iothreadpin``, or let ``kvm-tuning guest '
        'repin`` find a new place for them.',
    ),
    Remedy(
        ('vhost-affinity', 'vf-attribute'),
        'The guest was not started by us, and libvirt cannot express this '
        'setting; or somebody has changed it since.',
        _OPERATOR,
        '``kvm-tuning guest reconcile`` sets it. ``kvm-tuning host hooks '
        'install`` has it set at every start.',
    ),
    Remedy(
        ('pcpu-claimed-twice', 'pcpu-of-another-guest'),
        'A guest was started without us, or was pinned by hand. An unpinned '
        'guest floats over all pCPUs.',
        _OPERATOR,
        'Move one of the two: ``kvm-tuning guest repin``, or a migration. '
        'Keep unpinned guests on ``shared_cpus`` (Nova: ``cpu_shared_set``).',
    ),
    Remedy(
        ('pcpu-of-a-process',),
        'Somebody has pinned a process, often a busy poller (SPDK, a PMD of '
        'DPDK), to a pCPU that is meant for guests.',
        _OPERATOR,
        'Pin it to other pCPUs and take these out of ``dedicated_cpus`` '
        '(Nova: ``cpu_dedicated_set``), or move the guest: ``kvm-tuning guest '
        'repin``.',
    ),
    Remedy(
        ('memory-policy', 'memory-cell'),
        'The memory was moved (``migratepages``, automatic NUMA balancing), '
        'or was allocated before it was bound; or the binding is a '
        'preference and the memory spilled over.',
        _OPERATOR,
        'Make room in the cell, then restart the guest. '
        '``kvm:memory_locality=strict`` refuses what does not fit.',
    ),
    Remedy(
        ('page-size', 'allocation', 'locked', 'memory-size'),
        'The guest runs with an earlier definition, or its balloon was moved.',
        _OPERATOR,
        _RESTART,
    ),
    Remedy(
        ('page-sharing', 'pages-merged'),
        'KSM runs, and the guest was started before its pages were excluded '
        'from it. It is correct for KSM to merge pages of a guest that '
        'allows it.',
        _OPERATOR,
        'Set ``kvm:page_sharing=false`` in the flavor and restart the guest; '
        'for the whole host, set ``[ksm] run = off`` and run ``kvm-tuning '
        'host apply``.',
    ),
    Remedy(
        ('transparent-huge-pages', 'transparent-huge-pages-mode'),
        "The host's mode differs from the promise, or its memory is too "
        'fragmented for huge pages.',
        _OPERATOR,
        'Set ``[transparent_huge_pages]`` and run ``kvm-tuning host apply``; '
        '``[compaction]`` helps against fragmentation.',
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
            'cpu-hint',
        ),
        'QEMU was started with something else: the guest was tuned while it '
        'ran, a device was attached without us, or libvirt left something '
        'out.',
        _OPERATOR,
        _RESTART,
    ),
    Remedy(
        ('iothread-idle',),
        'The flavor requests more iothreads than disks use.',
        _OWNER,
        'Request fewer with ``kvm:iothreads``, or spread the disks with '
        '``kvm:disk_iothread_map``.',
    ),
    Remedy(
        ('host-device', 'vif-type', 'vf-vlan'),
        "The device was taken away from the guest, or its PF's settings were "
        'changed by hand or by an agent.',
        _OPERATOR,
        'Restart the guest: libvirt then binds the device and sets MAC and '
        'VLAN. Under Nova the VLAN is that of the Neutron port.',
    ),
    Remedy(
        ('macvtap-mode', 'macvtap-lower'),
        'The macvtap link was changed with ``ip link``, or created again.',
        _OPERATOR,
        'Detach and attach the NIC, or restart the guest.',
    ),
    Remedy(
        ('drift',),
        'The definition was changed after it was tuned: ``virsh edit``, or '
        'another tool.',
        'whoever changed it',
        '``kvm-tuning guest plan`` shows the difference. ``kvm-tuning guest '
        'tune`` corrects it (Nova: a hard reboot), ``guest undo`` gives up '
        'the promises.',
    ),
    Remedy(
        ('preference-not-kept',),
        "What a profile or the host's defaults prefer was not available when "
        'the guest was placed.',
        'nobody',
        'To insist on it, set it in the flavor (with a policy of ``strict`` '
        'where there is one): what cannot be kept is then refused.',
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
        'requests nothing.',
        'nobody',
        '``kvm-tuning guest tune``, or a flavor with ``kvm:`` keys.',
    ),
    Remedy(
        ('receipt-unreadable',),
        'Somebody edited the metadata in the definition, or it was written '
        'by a newer version of this package.',
        _OPERATOR,
        'Upgrade the package, or tune the guest again (Nova: a hard reboot).',
    ),
    Remedy(
        ('process-claimed',),
        "Neither libvirt's pid file nor its control group names the process: "
        'libvirt has lost it, its files are not where they are looked for '
        '(a container), or somebody has started a QEMU with the arguments of '
        'this guest.',
        _OPERATOR,
        'See who has started the process. In a container, let '
        '``/run/libvirt`` of the host be there.',
    ),
    Remedy(
        ('not-observed', 'unaudited', 'guest-setting'),
        'It could not be observed: rights are missing, QEMU has just ended, '
        'no rule knows the address, or only the guest knows.',
        _OPERATOR,
        'The finding says what is needed: root, or ``--monitor``. For '
        'settings inside the guest, look there.',
    ),
)

#: The same by code.
BY_CODE = {code: remedy for remedy in REMEDIES for code in remedy.codes}
