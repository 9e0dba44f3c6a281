"""Flavors and images made at random, good ones and bad ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import random


@dataclass
class Case:
    """What is given to Nova and to us."""

    vcpus: int
    memory_mib: int
    extra_specs: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)


_FLAGS = ('true', 'True', '1', 'yes', 'on', ' t ', 'false', '0', 'no', 'x', '')
_POLICIES = ('dedicated', 'shared', 'mixed', 'Dedicated', 'pinned', '')
_THREADS = ('prefer', 'isolate', 'require', 'share', ' prefer', '')
_NUMBERS = ('0', '1', '2', '4', '-1', '+2', '02', ' 2', '1_0', '2.0', 'x', '')
_PAGES = (
    'small', 'large', 'any', '4', '2048', '1048576', '2MB', '1GB', '2MiB',
    '2048KB', '16777216b', '1GiB', '0', '512B', '1.5KB', '.5GB', '-1KB',
    '-2KB', '-2MB', '+2MB', '2M', '2mb', 'Large', 'huge', '2 MB', '2MB\n',
    '2048\n', '\u0662', '\u00b2', '\u0662MB', '', ' ', '9' * 400 + 'B',
    '9' * 400,
)  # fmt: skip
_MODELS = (
    'amd-sev', 'amd-sev-es', 'amd-sev-snp', 'intel-tdx', 'sgx', '',
)  # fmt: skip
_MACHINES = ('q35', 'pc-q35-9.2', 'pc', 'pc-i440fx-9.2', '')
_TRAITS = ('required', 'forbidden', 'Required', 'preferred', '')
_ODD_LISTS = (
    '', ' ', ',', '0', '0,0', '0-1', '1-0', '^0', '^0-1', '^0,^1', '0-99999',
    '0-70000,^1-69999', '70000', '0-3,^2', '^1,0-3', ' 0 - 1 ', '0,,1', 'a',
    '0-', '-1', '1--2', '^', '^^0', '+1', '0-+1', '1_0', '\u0661', '0;1',
    '^ 1', '^0-99999', '0-1-2', '0x1', '0.5',
)  # fmt: skip

# A word of each that Nova takes, and some that it does not.
_OTHER_PROPERTIES: dict[str, Sequence[str]] = {
    'hw_vif_model': ('virtio', 'e1000', 'VirtualE1000', 'RTL8139', 'ne2000'),
    'hw_disk_bus': ('virtio', 'scsi', 'ide', 'Virtio', 'nvme'),
    'hw_scsi_model': ('virtio-scsi', 'lsiLogicsas', 'ParaVirtual', 'aic'),
    'hw_video_model': ('none', 'virtio', 'VGA'),
    'hw_video_ram': _NUMBERS,
    'hw_serial_port_count': _NUMBERS,
    'hw_architecture': ('x86_64', 'AMD64', 'i386', 'x86', 'ppc64le'),
    'hw_emulation_architecture': ('aarch64', 'i586', 'z80'),
    'hw_vm_mode': ('hvm', 'HV', 'pv', 'baremetal', 'kvm'),
    'hw_tpm_version': ('1.2', '2.0', '2'),
    'hw_pointer_model': ('usbtablet', 'mouse'),
    'hw_watchdog_action': ('reset', 'disabled', 'reboot'),
    'hw_pci_numa_affinity_policy': ('required', 'socket', 'strict'),
    'hw_qemu_guest_agent': _FLAGS,
    'hw_vif_multiqueue_enabled': _FLAGS,
    'hw_numa_cpus': ('0-3', 'x'),
    'hw_numa_mem': ('1', 'x'),
    'img_hv_type': ('kvm', 'QEMU', 'xapi', 'esx'),
    'img_hv_requested_version': (
        '>=2.6', '>= 1.0, <3', '==1.0rc1', '2.6', '>=', '=>2', '>=1.0.post2',
        '!=1!2.0+deb.1', '<x', '>=v2.0-1', '<=1.0.dev3',
    ),
    'img_version': _NUMBERS,
    'img_config_drive': ('optional', 'always'),
    'img_signature_key_type': ('RSA-PSS', 'RSA'),
    'os_type': ('linux', 'Windows', 'bsd'),
    'os_distro': ('debian', 'anything', ''),
    'os_secure_boot': ('required', 'on'),
    'os_require_quiesce': _FLAGS,
    'architecture': ('x86_64', 'amd64', 'vax'),
    'vm_mode': ('hvm', 'xen', 'lxd'),
    'hypervisor_type': ('qemu', 'none'),
    'vmware_adaptertype': ('ide', 'lsiLogic', 'paraVirtual', 'nvme', ''),
    'vmware_image_version': _NUMBERS,
    'no_such_property': ('x', ''),
    'trait:HW_CPU_X86_AVX2': _TRAITS,
    'traits_required': ('HW_CPU_HYPERTHREADING',),
}  # fmt: skip


def case(rng: random.Random) -> Case:
    """Return one flavor and image: a sound one, and then some changes."""
    made = Case(
        vcpus=rng.choice((1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 64)),
        memory_mib=rng.choice((1, 512, 1024, 2048, 3000, 4096, 6144, 8192)),
    )
    for start in rng.sample(_STARTS, rng.choice((0, 1, 1, 1, 1, 2))):
        start(rng, made)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 4))):
        rng.choice(_CHANGES)(rng, made)
    return made


def _cells(rng: random.Random, made: Case) -> None:
    """Deal the guest's vCPUs and memory out to cells, by hand."""
    nodes = rng.choice((1, 2, 2, 3, 4))
    cpus = list(range(made.vcpus))
    if rng.random() < 0.5:
        rng.shuffle(cpus)
    side, mark = (made.extra_specs, ':')
    if rng.random() < 0.3:
        side, mark = (made.properties, '_')
    if nodes > 1 or rng.random() < 0.5:
        side[f'hw{mark}numa_nodes'] = str(nodes)
    left = made.memory_mib
    for node in range(nodes):
        share = cpus[node::nodes]
        memory = left if node == nodes - 1 else rng.randrange(left + 1)
        left -= memory
        side[f'hw{mark}numa_cpus.{node}'] = ','.join(map(str, share))
        side[f'hw{mark}numa_mem.{node}'] = str(memory)


def _nodes(rng: random.Random, made: Case) -> None:
    made.extra_specs['hw:numa_nodes'] = str(rng.choice((1, 2, 2, 3, 4)))


def _dedicated(rng: random.Random, made: Case) -> None:
    if rng.random() < 0.7:
        made.extra_specs['hw:cpu_policy'] = 'dedicated'
    else:
        made.properties['hw_cpu_policy'] = 'dedicated'
    if rng.random() < 0.4:
        policy = rng.choice(_THREADS[:3])
        made.extra_specs['hw:cpu_thread_policy'] = policy
    if rng.random() < 0.3:
        policy = rng.choice(('share', 'isolate'))
        made.extra_specs['hw:emulator_threads_policy'] = policy


def _mixed(rng: random.Random, made: Case) -> None:
    made.extra_specs['hw:cpu_policy'] = 'mixed'
    mask = _mask(rng, made.vcpus)
    if rng.random() < 0.7:
        made.extra_specs['hw:cpu_dedicated_mask'] = mask
    else:
        made.extra_specs['hw:cpu_realtime'] = 'true'
        made.extra_specs['hw:cpu_realtime_mask'] = mask


def _realtime(rng: random.Random, made: Case) -> None:
    if rng.random() < 0.9:
        made.extra_specs['hw:cpu_policy'] = 'dedicated'
    made.extra_specs['hw:cpu_realtime'] = rng.choice(('true', 'yes'))
    if rng.random() < 0.5:
        policy = rng.choice(('share', 'isolate'))
        made.extra_specs['hw:emulator_threads_policy'] = policy
    if rng.random() < 0.7:
        made.extra_specs['hw:cpu_realtime_mask'] = _mask(rng, made.vcpus)
    if rng.random() < 0.3:
        made.properties['hw_cpu_realtime_mask'] = _mask(rng, made.vcpus)


def _pages(rng: random.Random, made: Case) -> None:
    sizes = _PAGES[:12] if rng.random() < 0.9 else _PAGES
    made.extra_specs['hw:mem_page_size'] = rng.choice(sizes)
    if rng.random() < 0.3:
        made.properties['hw_mem_page_size'] = rng.choice(_PAGES[:12])
    if rng.random() < 0.3:
        made.extra_specs['hw:locked_memory'] = rng.choice(_FLAGS)


def _encryption(rng: random.Random, made: Case) -> None:
    model = rng.choice(_MODELS[:4])
    if rng.random() < 0.6:
        made.extra_specs['hw:mem_encryption'] = 'true'
        made.extra_specs['hw:mem_encryption_model'] = model
    else:
        made.properties['hw_mem_encryption'] = 'true'
        made.properties['hw_mem_encryption_model'] = model
    wanted = {
        'hw_firmware_type': 'uefi',
        'hw_machine_type': 'q35',
        'hw_firmware_stateless': 'true',
        'hw_video_model': 'none',
    }
    for name, text in wanted.items():
        if rng.random() < 0.9:
            made.properties[name] = text
    if rng.random() < 0.2:
        made.properties['hw_machine_type'] = rng.choice(_MACHINES)


def _resources(rng: random.Random, made: Case) -> None:
    group = rng.choice(('', '', '1', '12', '0', '_a'))
    kind = rng.choice(('PCPU', 'PCPU', 'VCPU', 'VCPU_X'))
    isolated = 0
    if rng.random() < 0.3:
        made.extra_specs['hw:emulator_threads_policy'] = 'isolate'
        isolated = rng.choice((0, 1))
    amount = made.vcpus + isolated + rng.choice((0, 0, 0, 1))
    text = rng.choice((str(amount),) * 6 + ('0', '-1', 'x'))
    made.extra_specs[f'resources{group}:{kind}'] = text


def _vpmem(rng: random.Random, made: Case) -> None:
    made.extra_specs['hw:pmem'] = rng.choice(('6GB', '6GB,MEDIUM', ' ,', ''))


def _plain(rng: random.Random, made: Case) -> None:
    made.extra_specs['hw:vif_multiqueue_enabled'] = 'true'
    made.extra_specs['kvm:iothreads'] = '2'
    made.properties['hw_vif_model'] = 'virtio'
    made.properties['os_type'] = 'linux'


def _mask(rng: random.Random, vcpus: int) -> str:
    """Return a mask of some of the vCPUs, written in one of the ways."""
    cpus = sorted(rng.sample(range(vcpus), rng.randint(1, vcpus)))
    way = rng.randrange(3)
    if way == 0:
        return ','.join(map(str, cpus))
    if way == 1:
        return ','.join(f'^{cpu}' for cpu in cpus)
    return f'{cpus[0]}-{cpus[-1]}'


_VALUES: dict[str, Sequence[str]] = {
    'hw:cpu_policy': _POLICIES,
    'hw:cpu_thread_policy': _THREADS,
    'hw:cpu_realtime': _FLAGS,
    'hw:emulator_threads_policy': ('share', 'isolate', 'none', ''),
    'hw:numa_nodes': (*_NUMBERS, '\u0662', '9' * 30),
    'hw:mem_page_size': _PAGES,
    'hw:locked_memory': _FLAGS,
    'hw:mem_encryption': _FLAGS,
    'hw:mem_encryption_model': _MODELS,
    'hw:pmem': ('6GB', ',', ' , ', ''),
    'resources:PCPU': _NUMBERS,
    'resources:VCPU': _NUMBERS,
    'resources2:PCPU': _NUMBERS,
    'trait:HW_CPU_HYPERTHREADING': _TRAITS,
    'trait7:HW_CPU_HYPERTHREADING': _TRAITS,
    'trait:HW_CPU_HYPERTHREADING2': _TRAITS,
    'hw:numa_mem.0': _NUMBERS,
    'hw:numa_mem.1': _NUMBERS,
    'hw:numa_cpus.0': _ODD_LISTS,
    'hw:numa_cpus.2': _ODD_LISTS,
    'hw:cpu_dedicated_mask': _ODD_LISTS,
    'hw:cpu_realtime_mask': _ODD_LISTS,
    'hw_cpu_policy': _POLICIES,
    'hw_cpu_thread_policy': _THREADS,
    'hw_cpu_realtime_mask': _ODD_LISTS,
    'hw_numa_nodes': _NUMBERS,
    'hw_numa_mem.0': _NUMBERS,
    'hw_numa_cpus.0': _ODD_LISTS,
    'hw_numa_cpus.1': _ODD_LISTS,
    'hw_mem_page_size': _PAGES,
    'hw_locked_memory': _FLAGS,
    'hw_mem_encryption': _FLAGS,
    'hw_mem_encryption_model': _MODELS,
    'hw_firmware_type': ('uefi', 'bios', 'UEFI', ''),
    'hw_firmware_stateless': _FLAGS,
    'hw_machine_type': _MACHINES,
}
# An image's trait has the name of a flavor's, so it is said apart.
_IMAGE_VALUES: dict[str, Sequence[str]] = {
    'trait:HW_CPU_HYPERTHREADING': _TRAITS,
    **_OTHER_PROPERTIES,
}


def _set_one(rng: random.Random, made: Case) -> None:
    key = rng.choice(tuple(_VALUES))
    side = made.properties if key.startswith('hw_') else made.extra_specs
    side[key] = rng.choice(_VALUES[key])


def _set_mask(rng: random.Random, made: Case) -> None:
    key = rng.choice(('hw:cpu_dedicated_mask', 'hw:cpu_realtime_mask'))
    made.extra_specs[key] = _mask(rng, made.vcpus)


def _set_property(rng: random.Random, made: Case) -> None:
    name = rng.choice(tuple(_IMAGE_VALUES))
    made.properties[name] = rng.choice(_IMAGE_VALUES[name])


def _drop_one(rng: random.Random, made: Case) -> None:
    side = rng.choice((made.extra_specs, made.properties))
    if side:
        del side[rng.choice(tuple(side))]


def _move_one(rng: random.Random, made: Case) -> None:
    """Say in the image what the flavor says, instead of it or as well."""
    keys = [key for key in made.extra_specs if key.startswith('hw:')]
    if keys:
        key = rng.choice(keys)
        text = made.extra_specs[key]
        if rng.random() < 0.5:
            del made.extra_specs[key]
        made.properties[key.replace('hw:', 'hw_')] = text


def _disagree(rng: random.Random, made: Case) -> None:
    """Say one thing in the flavor and another one in the image."""
    key, words = rng.choice(_ARGUED)
    made.extra_specs[f'hw:{key}'] = rng.choice(words)
    made.properties[f'hw_{key}'] = rng.choice(words)
    if key == 'cpu_thread_policy' and rng.random() < 0.5:
        # Else the thread policy is refused before the two are compared.
        made.extra_specs['hw:cpu_policy'] = 'dedicated'


def _bend_cells(rng: random.Random, made: Case) -> None:
    """Deal the guest out to cells, and then one of them wrongly."""
    _cells(rng, made)
    for side in (made.extra_specs, made.properties):
        cells = [key for key in side if '.' in key]
        if cells:
            key = rng.choice(cells)
            side[key] = rng.choice((side[key], f'{made.vcpus}', '0', '1'))


_ARGUED = (
    ('cpu_policy', _POLICIES[:3]),
    ('cpu_thread_policy', _THREADS[:3]),
    ('locked_memory', _FLAGS),
    ('mem_encryption', _FLAGS),
    ('mem_encryption_model', _MODELS[:4]),
    ('numa_nodes', ('1', '2')),
    ('mem_page_size', _PAGES[:8]),
)

Step = Callable[[random.Random, Case], None]

_STARTS: Sequence[Step] = (
    _cells, _cells, _nodes, _dedicated, _dedicated, _mixed, _realtime, _pages,
    _encryption, _encryption, _resources, _vpmem, _plain, _plain, _plain,
)  # fmt: skip
_CHANGES: Sequence[Step] = (
    _set_one, _set_one, _set_one, _set_mask, _set_property, _drop_one,
    _move_one, _disagree, _bend_cells,
)  # fmt: skip
