"""Addresses that only libvirt acts on: the document is all to check."""

from kvm_tuning.core import drift
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict
from kvm_tuning.core.observed import Unknown
from kvm_tuning.core.references import drives
from kvm_tuning.core.references.table import REFERENCES


def _document(case: Case) -> Verdict:
    return Verdict(case.point.same, case.point.found)


def unaudited(case: Case) -> Verdict:
    """Return the verdict for an address that no rule knows."""
    return Verdict(
        Unknown('the document says so; no rule checks it with the kernel'),
        case.point.found,
    )


def _memory(case: Case) -> Verdict:
    """``<memory>`` is the size of all RAM that QEMU has mapped."""
    ram = case.observed.memory.ram
    if isinstance(ram, Unknown):
        return Verdict.unknown(ram)
    size = sum(r.size_kib for r in ram)
    wanted = drift.kib(case.wanted)
    if wanted is None or case.domain.root.find('devices/memory') is not None:
        return _document(case)
    return Verdict(size == wanted, f'{size} KiB')


_DOCUMENT = Rule(_document, 'drift', 'the definition was changed')

#: What must be absent, where no rule asks the kernel.
ABSENCE = _DOCUMENT

#: What names a thing that is gone, or fewer of them.
NAMES: Rules = {(each.path, each.attribute): _DOCUMENT for each in REFERENCES}

RULES: Rules = {
    ('memory', '#text'): Rule(
        _memory, 'memory-size', 'the guest has a different amount of memory'
    ),
    # The balloon moves it while the guest runs.
    ('currentMemory', '#text'): _DOCUMENT,
    ('vcpu', 'placement'): _DOCUMENT,
    ('vcpu', 'current'): _DOCUMENT,
    ('cpu/numa/cell', ''): _DOCUMENT,
    # QEMU has the level as part of the mode.
    ('cpu/cache', 'level'): _DOCUMENT,
    ('devices/disk/address', ''): _DOCUMENT,
    ('devices/interface/address', ''): _DOCUMENT,
    ('iothreadids/iothread', ''): _DOCUMENT,
    ('numatune/memory', 'placement'): _DOCUMENT,
    ('maxMemory', '#text'): _DOCUMENT,
    **{
        ('devices/disk/address', name): _DOCUMENT
        for name in ('type', *drives.Place._fields)
    },
}
