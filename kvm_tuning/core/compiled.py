"""Compile a flavor's keys for Nova: what Nova itself must know of our keys.

Nova's PCI tracker assigns VFs by aliases, and its scheduler finds hosts by
traits. Both follow from our keys, so they are derived, not written by hand.
"""

from collections.abc import Mapping

ALIAS = 'pci_passthrough:alias'

#: Nova's ``[pci] alias`` for all VFs of NICs that guests may have.
VF_ALIAS = 'kvm-tuning-vf'
VFS = 'kvm:vfs'

#: The trait of every host with the extension.
TRAIT = 'CUSTOM_KVM_TUNING'

#: Every trait that this package ever sets on a host.
TRAITS = (
    TRAIT,
    f'{TRAIT}_L3',
    f'{TRAIT}_VHOST',
    f'{TRAIT}_IO_URING',
    f'{TRAIT}_THP_ALWAYS',
    f'{TRAIT}_THP_MADVISE',
)

# The suffix of the trait that a host needs, by key and value.
_TRAITS = {
    ('kvm:cpu_locality', 'l3'): '_L3',
    ('kvm:vif_backend', 'vhost'): '_VHOST',
    ('kvm:disk_io', 'io_uring'): '_IO_URING',
    # QEMU madvises the guest's memory: hosts with either mode do.
    ('kvm:transparent_huge_pages', 'always'): '_THP_MADVISE',
    ('kvm:transparent_huge_pages', 'madvise'): '_THP_MADVISE',
}


def compile(extra_specs: Mapping[str, str], alias: str) -> dict[str, str]:
    """Return the extra specs with Nova's own keys for ours added to them.

    Compiling twice changes nothing.

    :param alias: the name in Nova's ``[pci] alias`` that stands for the VFs.
    """
    found = dict(extra_specs)
    ours = {k: v.strip() for k, v in found.items() if k.startswith('kvm:')}
    if not ours:
        return found
    vfs = ours.get(VFS, '0')
    if vfs.isdecimal() and int(vfs):
        found[ALIAS] = _with_alias(found.get(ALIAS, ''), alias, int(vfs))
    for (key, value), end in _TRAITS.items():
        if ours.get(key) == value:
            found[f'trait:{TRAIT}{end}'] = 'required'
    found[f'trait:{TRAIT}'] = 'required'
    return found


def _with_alias(text: str, alias: str, count: int) -> str:
    """Return a list of aliases in which ``alias`` has ``count``."""
    others = [
        part.strip()
        for part in text.split(',')
        if part.strip() and part.strip().rpartition(':')[0] != alias
    ]
    return ','.join([*others, f'{alias}:{count}'])
