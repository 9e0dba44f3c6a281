"""The lab node's hardware: QEMU's command line.

Two NUMA cells of one socket each, 2 cores x 2 threads and one L3 domain a
socket; an IOMMU with interrupt remapping; on each cell a PCI host bridge with
an igb port (Intel 82576, 7 VFs) and room for an NVMe disk; a rotating and a
solid SCSI disk.
"""

from dataclasses import dataclass
from pathlib import Path

CPUS = 8
SSH_GUEST_PORT = 22
DISK_BYTES = 512 << 20
#: The disks beside the root disk, as files in the node's folder.
DISKS = ('vdb.img', 'hdd.img', 'ssd.img', 'nvme1.img')

# TCG has no model with SMT, an L3 cache and SVM: EPYC is forced to be one.
# What TCG lacks beside that must stay off, or guests of the node stumble.
_TCG_CPU = (
    'EPYC-v4,+svm,+npt,+pdpe1gb,l3-cache=on,-fxsr-opt,-misalignsse,-osvw,'
    '-perfctr-core,-clzero,-ibpb,-nrip-save,-xsavec,-xsaves,+topoext,'
    'x-force-features=on'
)
_KVM_CPU = 'host,l3-cache=on,topoext=on'

# The same with and without KVM. iommu=pt: without it the emulated disks crawl.
_KERNEL_ARGS = (
    'root=/dev/vda rw console=ttyS0 intel_iommu=on iommu=pt mitigations=off '
    'nokaslr nowatchdog rcupdate.rcu_cpu_stall_suppress=1 quiet'
)


@dataclass(frozen=True)
class Hardware:
    """What may differ from node to node.

    :ivar cell_mib: memory of each of the two NUMA cells
    :ivar more: further arguments of QEMU; each ``-device`` names its bus
    :ivar reaches_out: whether it reaches the machine outside, as 10.0.2.2
    """

    cell_mib: int = 3072
    more: tuple[str, ...] = ()
    reaches_out: bool = False


#: What tests/lab run on.
PLAIN = Hardware()


def has_nested_kvm(root: Path = Path('/')) -> bool:
    """Return whether KVM here lets guests use KVM: the node must."""
    try:
        info = (root / 'proc/cpuinfo').read_text()
    except OSError:
        return False
    flags = {
        word
        for line in info.splitlines()
        if line.startswith('flags')
        for word in line.split()
    }
    device = root / 'dev/kvm'
    for flag, module in (('vmx', 'kvm_intel'), ('svm', 'kvm_amd')):
        nested = root / 'sys/module' / module / 'parameters/nested'
        if flag in flags and device.exists() and nested.exists():
            return nested.read_text().strip() in ('1', 'Y')
    return False


def arguments(
    hardware: Hardware,
    boot: Path,
    disks: Path,
    ssh_port: int,
    kvm: bool = False,
    kernel_args: str = '',
) -> list[str]:
    """Return QEMU's arguments.

    :param boot: where ``vmlinuz`` and ``initrd.img`` are
    :param disks: where ``root.qcow2`` and :data:`DISKS` are, and where the
        sockets are made; QEMU runs in this folder
    :param ssh_port: the port of 127.0.0.1 that leads to the node's ssh
    :param kernel_args: come after those that every node has
    """
    return [
        *_board(kvm, hardware.cell_mib),
        *('-kernel', str(boot / 'vmlinuz')),
        *('-initrd', str(boot / 'initrd.img')),
        *('-append', f'{_KERNEL_ARGS} {kernel_args}'.strip()),
        *_management(ssh_port, hardware.reaches_out),
        *_bridges(),
        *_ports(),
        *_disks(disks),
        *hardware.more,
    ]


def _board(kvm: bool, cell_mib: int) -> list[str]:
    half = CPUS // 2
    accelerator = 'kvm' if kvm else 'tcg,thread=multi,tb-size=512'
    # Interrupt remapping under KVM needs the split interrupt controller.
    board = 'q35,kernel-irqchip=split' if kvm else 'q35'
    cells = []
    for cell in (0, 1):
        first = cell * half
        memory = f'memory-backend-ram,id=m{cell},size={cell_mib}M,merge=off'
        node = (
            f'node,nodeid={cell},cpus={first}-{first + half - 1},'
            f'memdev=m{cell}'
        )
        cells += ['-object', memory, '-numa', node]
    return [
        *('-name', 'labnode', '-nodefaults', '-no-user-config'),
        *('-display', 'none', '-machine', board, '-accel', accelerator),
        *('-cpu', _KVM_CPU if kvm else _TCG_CPU),
        *('-smp', f'{CPUS},sockets=2,cores=2,threads=2'),
        *('-m', str(2 * cell_mib)),
        *cells,
        *('-numa', 'dist,src=0,dst=1,val=21'),
        *('-device', 'intel-iommu,intremap=on,caching-mode=on'),
    ]


def _management(ssh_port: int, reaches_out: bool) -> list[str]:
    restrict = 'off' if reaches_out else 'on'
    # After a pxb-pcie, whatever names no bus would go below it: every other
    # device names pcie.0.
    return [
        *('-chardev', 'socket,id=ser0,path=serial.sock,server=on,wait=off,'
          'logfile=serial.log'),
        *('-serial', 'chardev:ser0'),
        *('-qmp', 'unix:qmp.sock,server=on,wait=off'),
        *('-device', 'virtio-rng-pci,bus=pcie.0'),
        *('-netdev', f'user,id=mgmt,restrict={restrict},'
          f'hostfwd=tcp:127.0.0.1:{ssh_port}-:{SSH_GUEST_PORT}'),
        *('-device', 'virtio-net-pci,bus=pcie.0,netdev=mgmt,'
          'mac=52:54:00:aa:00:01,romfile='),
    ]  # fmt: skip


def _bridges() -> list[str]:
    devices = []
    for cell in (0, 1):
        devices += [
            f'pxb-pcie,id=pxb{cell},bus_nr={64 * (cell + 1)},bus=pcie.0,'
            f'numa_node={cell}'
        ]
    for cell in (0, 1):
        for number in (0, 1):
            devices += [
                f'pcie-root-port,id=rp{cell}{number},bus=pxb{cell},'
                f'chassis={10 * (cell + 1) + number},slot={2 * cell + number}'
            ]
    return [word for device in devices for word in ('-device', device)]


def _ports() -> list[str]:
    words = []
    for cell in (0, 1):
        words += [
            *('-netdev', f'hubport,id=h{cell},hubid=0'),
            *('-device', f'igb,id=igb{cell},netdev=h{cell},bus=rp{cell}0,'
              f'mac=52:54:00:bb:00:0{cell}'),
        ]  # fmt: skip
    return words


def _disks(folder: Path) -> list[str]:
    def drive(name: str, file: str, form: str) -> tuple[str, str]:
        path = str(folder / file).replace(',', ',,')
        return (
            '-drive',
            f'if=none,id={name},file={path},format={form},cache=unsafe',
        )

    return [
        *drive('d0', 'root.qcow2', 'qcow2'),
        *('-device', f'virtio-blk-pci,bus=pcie.0,drive=d0,num-queues={CPUS}'),
        *drive('d1', 'vdb.img', 'raw'),
        *('-device', 'virtio-blk-pci,bus=pcie.0,drive=d1,num-queues=4,'
          'serial=labvblk'),
        *('-device', 'virtio-scsi-pci,bus=pcie.0,id=scsi0,num_queues=2'),
        *drive('d4', 'hdd.img', 'raw'),
        *('-device', 'scsi-hd,bus=scsi0.0,drive=d4,rotation_rate=7200,'
          'serial=labhdd'),
        *drive('d5', 'ssd.img', 'raw'),
        *('-device', 'scsi-hd,bus=scsi0.0,drive=d5,rotation_rate=1,'
          'serial=labssd'),
    ]  # fmt: skip
