"""Which extra specs exist: Nova's own, ours, and what is near one of them.

Nova's are those of ``nova.api.validation.extra_specs`` of 2025.1 to 2026.2
that concern a libvirt guest, and two that it reads without a validator
(``nova.virt.hardware.get_maxphysaddr_mode``); a test that runs with Nova
compares them.
"""

from collections.abc import Iterable, Iterator, Mapping
import difflib
import re

from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.exceptions import UnknownKnob
from kvm_tuning.core.wording import short

#: Nova's names in the namespace ``hw``.
NOVA_NAMES = frozenset(
    f'hw:{name}'
    for name in (
        'boot_menu', 'cpu_cores', 'cpu_dedicated_mask', 'cpu_max_cores',
        'cpu_max_sockets', 'cpu_max_threads', 'cpu_policy', 'cpu_realtime',
        'cpu_realtime_mask', 'cpu_sockets', 'cpu_thread_policy',
        'cpu_threads', 'emulator_threads_policy', 'ephemeral_encryption',
        'ephemeral_encryption_format', 'hide_hypervisor_id', 'locked_memory',
        'maxphysaddr_bits', 'maxphysaddr_mode',
        'mem_encryption', 'mem_encryption_model', 'mem_page_size',
        'numa_cpus', 'numa_mem', 'numa_nodes',
        'pci_numa_affinity_policy', 'pmem', 'pmu',
        'redirected_usb_ports', 'serial_port_count', 'sound_model',
        'tpm_model', 'tpm_secret_security', 'tpm_version', 'usb_model',
        'vif_multiqueue_enabled', 'viommu_model', 'virtio_packed_ring',
        'watchdog_action',
    )
)  # fmt: skip

#: Of these, those that end in the number of a guest cell.
_OF_CELLS = frozenset({'hw:numa_cpus', 'hw:numa_mem'})

#: Codes of the consequences; they never change.
NOT_DONE = 'nova-key-not-done'
UNKNOWN = 'unknown-nova-key'

#: Other namespaces of Nova's that change a guest's definition.
_ACTING = ('hw_rng:', 'hw_video:', 'os:secure_boot', 'quota:')

_OURS = re.compile(r'kvm[_-]?tuning\b')
_NUMBER = re.compile(r'\.\d+\Z')
# How alike two names must be, as difflib measures it: one letter more, less
# or exchanged in a name of ten.
_ALIKE = 0.85


def misspelt(
    extra_specs: Iterable[str], knobs: Iterable[str], origin: str
) -> Iterator[UnknownKnob]:
    """Yield an error for each name that is not one but is near one.

    Case, a doubled or another separator and our package's name as the
    namespace count as near. An unknown name in the namespace ``kvm`` itself
    is an error anyway, which :func:`kvm_tuning.core.request.read` raises.
    """
    known = NOVA_NAMES | {_base(knob) for knob in knobs}
    for key in extra_specs:
        if _exists(key, known) or key.startswith('kvm:'):
            continue
        if meant := _meant(key, known):
            yield UnknownKnob(
                f'{short(key)} ({origin}) is not an extra spec of Nova or '
                f'kvm-tuning; did you mean {meant}?'
            )


def _exists(key: str, known: frozenset[str]) -> bool:
    base = _base(key)
    return base in known and (key != base) == (base in _OF_CELLS)


def _base(key: str) -> str:
    return _NUMBER.sub('', key)


def _meant(key: str, known: frozenset[str]) -> str | None:
    """Return the known name that a name is near."""
    plain = re.sub(r'[\s_.-]+', '_', _base(key).strip().lower())
    plain = re.sub(r'_*:[:_]*', ':', plain)
    plain = _OURS.sub('kvm', plain)
    for prefix in ('hw', 'kvm'):
        # hw_cpu_policy is what an image calls it.
        if plain.startswith(f'{prefix}_'):
            plain = f'{prefix}:{plain.removeprefix(prefix)[1:]}'
    if plain.partition(':')[0] not in ('hw', 'kvm'):
        return None
    if plain not in known:
        close = difflib.get_close_matches(plain, sorted(known), 1, _ALIKE)
        plain = close[0] if close else ''
    if plain in _OF_CELLS:
        return f'{plain}.0'
    return plain or None


def not_done(
    extra_specs: Mapping[str, str], knobs: Iterable[str]
) -> Iterator[Consequence]:
    """Yield that keys which no hook carries out do nothing here.

    For guests without Nova: under Nova, Nova has carried them out.
    """
    done = {_base(knob) for knob in knobs}
    known = NOVA_NAMES | done
    rest = [key for key in sorted(extra_specs) if _base(key) not in done]
    left = [
        short(key)
        for key in rest
        if _base(key) in NOVA_NAMES or key.startswith(_ACTING)
    ]
    if left:
        yield Consequence(
            NOT_DONE,
            'operator',
            f'{", ".join(left)}: only Nova carries this out; without Nova '
            f'nothing is done for it, and the domain keeps what it has',
        )
    unknown = [
        short(key)
        for key in rest
        if key.startswith('hw:')
        and _base(key) not in known
        and not _meant(key, known)
    ]
    if unknown:
        yield Consequence(
            UNKNOWN,
            'operator',
            f'{", ".join(unknown)}: neither Nova 2025.1 to 2026.2 nor '
            f'kvm-tuning knows this; nothing is done for it',
        )
