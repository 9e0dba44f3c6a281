"""Promises outside the domain's document, by the kind of setting."""

from collections.abc import Callable, Iterator, Mapping

from kvm_tuning.core import cpuset
from kvm_tuning.core.audit.finding import Finding, Severity
from kvm_tuning.core.audit.rules.affinity import cpus_of, threads
from kvm_tuning.core.effects import Setting, SettingKind
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Kind, Observed, Unknown

SettingRule = Callable[[Setting, Observed, Inventory], Finding]

_RECONCILE = 'kvm-tuning guest reconcile sets it'


def findings(
    settings: tuple[Setting, ...],
    observed: Observed | None,
    inventory: Inventory,
) -> Iterator[Finding]:
    """Yield one finding for each setting of a receipt."""
    for setting in settings:
        rule = RULES.get(setting.kind)
        if observed is None:
            yield _finding(
                setting,
                Severity.INFO,
                'unknown',
                'the guest is not running',
                'not-running',
            )
        elif rule is None:
            yield _finding(
                setting,
                Severity.UNKNOWN,
                'unknown',
                'this kind of setting cannot be audited',
                'unaudited',
            )
        else:
            yield _checked(rule, setting, observed, inventory)


def _checked(
    rule: SettingRule,
    setting: Setting,
    observed: Observed,
    inventory: Inventory,
) -> Finding:
    try:
        return rule(setting, observed, inventory)
    except ValueError:
        # Somebody has edited the receipt.
        unknown = Unknown(f'the promise {setting.value!r} is not valid')
        return _unknown(setting, unknown, 'unaudited')


def _vhost(
    setting: Setting, observed: Observed, inventory: Inventory
) -> Finding:
    """Check that every vhost thread has the promised pCPUs."""
    code = 'vhost-affinity'
    found = threads(observed, Kind.VHOST)
    cpus = found if isinstance(found, Unknown) else cpus_of(found)
    if isinstance(cpus, Unknown):
        return _unknown(setting, cpus, code)
    assert not isinstance(found, Unknown)
    if not found:
        return _finding(
            setting,
            Severity.ERROR,
            'no vhost threads',
            "packets go through QEMU's main loop",
            code,
        )
    odd = [t for t in found if t.cpus != cpuset.parse(setting.value)]
    if not odd:
        return _kept(setting, code)
    shown = ', '.join(
        f'{cpuset.format(t.cpus)} (thread {t.tid})'
        for t in odd
        if not isinstance(t.cpus, Unknown)
    )
    return _finding(
        setting,
        Severity.ERROR,
        shown,
        f'packets are moved where vCPUs may run; {_RECONCILE}',
        code,
    )


def _attribute(
    setting: Setting, observed: Observed, inventory: Inventory
) -> Finding:
    """Check that the PF keeps the promised attribute for a VF that the guest
    has.
    """
    code = 'vf-attribute'
    pf, index, name = setting.name.split('/')
    vf = observed.vf(pf, int(index))
    if vf is None:
        return _finding(
            setting,
            Severity.ERROR,
            'no such VF',
            'the guest does not have this VF',
            code,
        )
    if isinstance(vf.attributes, Unknown):
        return _unknown(setting, vf.attributes, code)
    found = vf.attributes.get(name)
    if found is None:
        return _unknown(
            setting, Unknown("the PF's driver does not report it"), code
        )
    if found == setting.value:
        return _kept(setting, code)
    return _finding(
        setting,
        Severity.ERROR,
        found,
        f'somebody changed it, or it was never set; {_RECONCILE}',
        code,
    )


def _host_mode(
    setting: Setting, observed: Observed, inventory: Inventory
) -> Finding:
    """Check transparent huge pages: the mode counts when memory is touched, so
    the guest's own RAM has the last word.
    """
    code = 'transparent-huge-pages-mode'
    mode = observed.transparent_huge_pages
    if isinstance(mode, Unknown):
        return _unknown(setting, mode, code)
    good = setting.value.split()
    if mode not in good:
        return _finding(
            setting,
            Severity.ERROR,
            mode,
            'host apply sets it ([transparent_huge_pages] enabled)',
            code,
        )
    huge = _anonymous_huge(observed, inventory)
    if huge is None or bool(huge[0]) == ('never' not in good):
        return _finding(setting, Severity.OK, mode, '', code)
    return _finding(
        setting,
        Severity.WARNING,
        f'{mode}, and {huge[0] >> 10} of {huge[1] >> 10} MiB of its RAM',
        "the mode is as promised, but the guest's memory was touched before "
        'it was set: restart the guest',
        code,
    )


def _anonymous_huge(
    observed: Observed, inventory: Inventory
) -> tuple[int, int] | None:
    """Return the KiB of the guest's RAM in transparent huge pages, and the KiB
    of all of it; None where that is unknown or inconclusive.
    """
    if isinstance(observed.memory.ram, Unknown):
        return None
    small = [
        ram
        for ram in observed.memory.ram
        if ram.page_kib == inventory.page_size_kib
    ]
    resident = sum(ram.resident_kib for ram in small)
    if not resident:
        return None
    return sum(ram.anon_huge_kib for ram in small), resident


def _guest(
    setting: Setting, observed: Observed, inventory: Inventory
) -> Finding:
    return _finding(
        setting,
        Severity.UNKNOWN,
        'unknown',
        'only the guest itself knows: look inside it (cloud-init status)',
        'guest-setting',
    )


def _kept(setting: Setting, code: str) -> Finding:
    return _finding(setting, Severity.OK, setting.value, '', code)


def _unknown(setting: Setting, unknown: Unknown, code: str) -> Finding:
    return _finding(setting, Severity.UNKNOWN, 'unknown', str(unknown), code)


def _finding(
    setting: Setting, severity: Severity, found: str, why: str, code: str
) -> Finding:
    address = f'{setting.kind}/{setting.name}'
    return Finding(severity, address, setting.value, found, why, code)


#: By kind; see :class:`kvm_tuning.core.effects.Setting`.
RULES: Mapping[str, SettingRule] = {
    SettingKind.THREAD_AFFINITY: _vhost,
    SettingKind.VF_ATTRIBUTE: _attribute,
    SettingKind.HOST_MODE: _host_mode,
    SettingKind.GUEST: _guest,
}
