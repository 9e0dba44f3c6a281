"""Image properties with Nova's types (its ``ImageMetaProps``).

Nova reads the properties that it knows and drops all others; a known one with
a value outside its type makes the image unusable, whatever the flavor
requests. Old names are still read, and the new name wins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import re

from kvm_tuning.core import vcpu_list
from kvm_tuning.core.exceptions import (
    InvalidValue,
    RequestError,
    raise_all,
)
from kvm_tuning.core.vcpu_list import VcpuList
from kvm_tuning.core.wording import invalid

Value = bool | int | str

#: Glance's own default is 128; cells alone can take 2 x 128.
MAX_PROPERTIES = 1024

#: Nova reads no property of a guest cell beyond this number.
MAX_CELLS = 128

TRUE_WORDS = frozenset({'1', 't', 'true', 'on', 'y', 'yes'})

_DISK_BUSES = (
    'virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc', 'xen', 'lxc', 'uml',
)  # fmt: skip

_ARCHITECTURES = (
    'x86_64', 'aarch64', 'i686', 'ppc64le', 's390x', 'alpha', 'armv6',
    'armv7b', 'armv7l', 'cris', 'ia64', 'lm32', 'm68k', 'microblaze',
    'microblazeel', 'mips', 'mips64', 'mips64el', 'mipsel', 'openrisc',
    'parisc', 'parisc64', 'ppc', 'ppc64', 'ppcemb', 'ppcle', 's390', 'sh4',
    'sh4eb', 'sparc', 'sparc64', 'unicore32', 'xtensa', 'xtensaeb',
)  # fmt: skip

#: The words that a property accepts; case matters.
CHOICES: Mapping[str, tuple[str, ...]] = {
    'hw_cdrom_bus': _DISK_BUSES,
    'hw_cpu_policy': ('shared', 'dedicated', 'mixed'),
    'hw_cpu_thread_policy': ('prefer', 'isolate', 'require'),
    'hw_disk_bus': _DISK_BUSES,
    'hw_ephemeral_encryption_format': ('plain', 'luks', 'luksv2'),
    'hw_firmware_type': ('uefi', 'bios'),
    'hw_floppy_bus': _DISK_BUSES,
    'hw_input_bus': ('usb', 'virtio'),
    'hw_maxphysaddr_mode': ('passthrough', 'emulate'),
    'hw_mem_encryption_model': (
        'amd-sev', 'amd-sev-es', 'amd-sev-snp', 'intel-tdx',
    ),
    'hw_pci_numa_affinity_policy': (
        'required', 'preferred', 'legacy', 'socket',
    ),
    'hw_pointer_model': ('usbtablet',),
    'hw_rescue_bus': _DISK_BUSES,
    'hw_rescue_device': ('disk', 'cdrom', 'floppy', 'fs', 'lun'),
    'hw_rng_model': ('virtio',),
    'hw_sound_model': (
        'ac97', 'es1370', 'ich6', 'ich9', 'pcspk', 'sb16', 'usb', 'virtio',
    ),
    'hw_tpm_model': ('tpm-tis', 'tpm-crb'),
    'hw_tpm_version': ('1.2', '2.0'),
    'hw_usb_model': ('none', 'nec-xhci', 'qemu-xhci'),
    'hw_video_model': (
        'virtio', 'vga', 'cirrus', 'qxl', 'bochs', 'gop', 'vmvga', 'xen',
        'none',
    ),
    'hw_viommu_model': ('intel', 'smmuv3', 'virtio', 'auto'),
    'hw_watchdog_action': ('none', 'pause', 'poweroff', 'reset', 'disabled'),
    'img_config_drive': ('optional', 'mandatory'),
    'img_signature_hash_method': ('SHA-224', 'SHA-256', 'SHA-384', 'SHA-512'),
    'img_signature_key_type': (
        'DSA', 'ECC_SECP384R1', 'ECC_SECP521R1', 'ECC_SECT409K1',
        'ECC_SECT409R1', 'ECC_SECT571K1', 'ECC_SECT571R1', 'RSA-PSS',
    ),
    'os_secure_boot': ('required', 'disabled', 'optional'),
}  # fmt: skip

#: Likewise, but case does not matter and old words are still read.
FOLDED_CHOICES: Mapping[str, tuple[str, ...]] = {
    'hw_architecture': _ARCHITECTURES,
    'hw_emulation_architecture': _ARCHITECTURES,
    'hw_scsi_model': (
        'virtio-scsi', 'buslogic', 'ibmvscsi', 'lsilogic', 'lsisas1068',
        'lsisas1078', 'vmpvscsi',
    ),
    'hw_vif_model': (
        'virtio', 'e1000', 'e1000e', 'igb', 'rtl8139', 'ne2k_pci', 'pcnet',
        'vmxnet', 'vmxnet3', 'spapr-vlan', 'lan9118', 'netfront', 'sriov',
    ),
    'hw_vm_mode': ('hvm', 'xen', 'uml', 'exe'),
    'img_hv_type': (
        'kvm', 'qemu', 'baremetal', 'bhyve', 'docker', 'fake', 'hyperv',
        'ironic', 'kqemu', 'lxc', 'lxd', 'openvz', 'parallels', 'phyp',
        'prsm', 'test', 'uml', 'vbox', 'vmware', 'vz', 'xen', 'zvm',
    ),
    'os_type': ('linux', 'windows'),
}  # fmt: skip

_OLD_WORDS: Mapping[str, Mapping[str, str]] = {
    'hw_architecture': dict.fromkeys(
        ('i386', 'i486', 'i586', 'x86_32', 'x86_32p'), 'i686'
    )
    | {'amd64': 'x86_64'},
    'hw_scsi_model': {'lsilogicsas': 'lsisas1068', 'paravirtual': 'vmpvscsi'},
    'hw_vif_model': {
        'virtuale1000': 'e1000',
        'virtuale1000e': 'e1000e',
        'virtualpcnet32': 'pcnet',
        'virtualsriovethernetcard': 'sriov',
        'virtualvmxnet': 'vmxnet',
        'virtualvmxnet3': 'vmxnet3',
    },
    'hw_vm_mode': {'pv': 'xen', 'hv': 'hvm', 'baremetal': 'hvm'},
    'img_hv_type': {'xapi': 'xen'},
}

_FLAGS = (
    'hw_boot_menu', 'hw_ephemeral_encryption', 'hw_firmware_stateless',
    'hw_ipxe_boot', 'hw_locked_memory', 'hw_mem_encryption', 'hw_pmu',
    'hw_qemu_guest_agent', 'hw_time_hpet', 'hw_vif_multiqueue_enabled',
    'hw_virtio_packed_ring', 'img_bdm_v2', 'img_bittorrent',
    'img_cache_in_nova', 'img_hide_hypervisor_id', 'img_linked_clone',
    'img_use_agent', 'os_require_quiesce',
    'os_skip_agent_inject_files_at_boot', 'os_skip_agent_inject_ssh',
)  # fmt: skip

_NUMBERS = (
    'hw_cpu_cores', 'hw_cpu_max_cores', 'hw_cpu_max_sockets',
    'hw_cpu_max_threads', 'hw_cpu_sockets', 'hw_cpu_threads', 'hw_device_id',
    'hw_maxphysaddr_bits', 'hw_numa_nodes', 'hw_redirected_usb_ports',
    'hw_serial_port_count', 'hw_video_ram', 'img_compression_level',
    'img_version',
)  # fmt: skip

_TEXTS = (
    'hw_auto_disk_config', 'hw_cpu_realtime_mask', 'hw_disk_type',
    'hw_ephemeral_encryption_secret_uuid', 'hw_machine_type',
    'hw_mem_page_size', 'img_owner_id', 'img_root_device_name',
    'img_signature', 'img_signature_certificate_uuid', 'os_admin_user',
    'os_command_line', 'os_distro',
)  # fmt: skip

#: The new names of old ones. The old names of block device mappings, which are
#: JSON documents that no knob reads, are left out.
OLD_NAMES: Mapping[str, str] = {
    'architecture': 'hw_architecture',
    'auto_disk_config': 'hw_auto_disk_config',
    'bdm_v2': 'img_bdm_v2',
    'bittorrent': 'img_bittorrent',
    'cache_in_nova': 'img_cache_in_nova',
    'hypervisor_type': 'img_hv_type',
    'hypervisor_version_requires': 'img_hv_requested_version',
    'ipxe_boot': 'hw_ipxe_boot',
    'owner_id': 'img_owner_id',
    'root_device_name': 'img_root_device_name',
    'vm_mode': 'hw_vm_mode',
    'vmware_disktype': 'hw_disk_type',
    'vmware_image_version': 'img_version',
    'vmware_linked_clone': 'img_linked_clone',
    'vmware_ostype': 'os_distro',
    'xenapi_device_id': 'hw_device_id',
    'xenapi_image_compression_level': 'img_compression_level',
    'xenapi_skip_agent_inject_files_at_boot': (
        'os_skip_agent_inject_files_at_boot'
    ),
    'xenapi_skip_agent_inject_ssh': 'os_skip_agent_inject_ssh',
    'xenapi_use_agent': 'img_use_agent',
}

#: Sets the disk bus, and the SCSI model with it.
_VMWARE_ADAPTER = 'vmware_adaptertype'

# PEP 440's grammar of a version, spelled out once.
_VERSION = re.compile(
    r'v?(\d+!)?\d+(\.\d+)*'
    r'([-_.]?(alpha|beta|preview|pre|rc|a|b|c)[-_.]?\d*)?'
    r'(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?'
    r'([-_.]?dev[-_.]?\d*)?'
    r'(\+[a-z0-9]+([-_.][a-z0-9]+)*)?',
    re.ASCII | re.IGNORECASE,
)
_VERSION_RULE = re.compile(r'\s*(?:[<>]=?|[!=]=)\s*(\S+)\s*')


@dataclass(frozen=True, slots=True)
class ImageProperties:
    """What Nova makes of an image's properties."""

    #: By new name: true or false, a number, or the property's own word.
    values: Mapping[str, Value]
    #: ``hw_numa_cpus.0``, ``.1`` ...; None when there is none.
    numa_cpus: tuple[VcpuList, ...] | None
    #: ``hw_numa_mem.0``, ``.1`` ... in MiB; None when there is none.
    numa_mem: tuple[int, ...] | None
    #: Traits that are ``required``.
    traits: frozenset[str]


def read(
    properties: Mapping[str, str], origin: str = 'image property'
) -> ImageProperties:
    """Return the properties that Nova knows, typed.

    :param origin: where they come from, for messages.
    :raises InvalidValue: a known property's value is outside of its type, or
        there are more than :data:`MAX_PROPERTIES`.
    :raises SeveralErrors: for more than one such value.
    """
    if len(properties) > MAX_PROPERTIES:
        raise InvalidValue(
            f'{len(properties)} image properties ({origin}): want at most '
            f'{MAX_PROPERTIES}'
        )
    errors: list[RequestError] = []
    values: dict[str, Value] = {}
    old: dict[str, Value] = {}
    for name, text in properties.items():
        target, new = values, name
        if name in OLD_NAMES:
            target, new = old, OLD_NAMES[name]
        reader = _READERS.get(new)
        if reader is not None:
            try:
                target[new] = reader(text)
            except ValueError as exc:
                errors.append(invalid(name, text, origin, exc))
    adapter = properties.get(_VMWARE_ADAPTER)
    if adapter:
        try:
            old |= _vmware_adapter(adapter)
        except ValueError as exc:
            errors.append(invalid(_VMWARE_ADAPTER, adapter, origin, exc))
    cpus: list[VcpuList] = []
    memory: list[int] = []
    for key, text in numbered(properties, 'hw_numa_cpus'):
        try:
            cpus.append(vcpu_list.read(text))
        except ValueError as exc:
            errors.append(invalid(key, text, origin, exc))
    for key, text in numbered(properties, 'hw_numa_mem'):
        try:
            memory.append(_number(text))
        except ValueError as exc:
            errors.append(invalid(key, text, origin, exc))
    raise_all(errors)
    return ImageProperties(
        {**old, **values} if old else values,
        tuple(cpus) or None,
        tuple(memory) or None,
        frozenset(
            name[6:]
            for name, text in properties.items()
            if text == 'required' and name.startswith('trait:')
        ),
    )


def numbered(texts: Mapping[str, str], stem: str) -> list[tuple[str, str]]:
    """Return keys and texts of ``stem.0``, ``stem.1`` ... to the first gap."""
    found = []
    for number in range(MAX_CELLS):
        key = f'{stem}.{number}'
        text = texts.get(key)
        if text is None:
            break
        found.append((key, text))
    return found


def flag(text: str) -> bool:
    """Return whether Nova takes ``text`` for true; anything else is false."""
    return text.strip().lower() in TRUE_WORDS


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('a whole number') from None


def _choice(words: tuple[str, ...]) -> Callable[[str], str]:
    def read_choice(text: str) -> str:
        if text not in words:
            raise ValueError(', '.join(words))
        return text

    return read_choice


def _folded(
    words: tuple[str, ...], old_words: Mapping[str, str]
) -> Callable[[str], str]:
    read_choice = _choice(words)

    def read_folded(text: str) -> str:
        word = text.lower()
        return read_choice(old_words.get(word, word))

    return read_folded


def _version_rules(text: str) -> str:
    for rule in text.split(','):
        match = _VERSION_RULE.fullmatch(rule)
        if match is None or _VERSION.fullmatch(match[1]) is None:
            raise ValueError('versions such as >=2.6,<3')
    return text


def _vmware_adapter(text: str) -> dict[str, Value]:
    if text == 'ide':
        return {'hw_disk_bus': 'ide'}
    model = _READERS['hw_scsi_model'](text)
    return {'hw_disk_bus': 'scsi', 'hw_scsi_model': model}


_READERS: Mapping[str, Callable[[str], Value]] = {
    **{name: _choice(words) for name, words in CHOICES.items()},
    **{
        name: _folded(
            words,
            _OLD_WORDS.get(name.replace('_emulation_', '_'), {}),
        )
        for name, words in FOLDED_CHOICES.items()
    },
    **dict.fromkeys(_FLAGS, flag),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_TEXTS, str),
    'img_hv_requested_version': _version_rules,
}
