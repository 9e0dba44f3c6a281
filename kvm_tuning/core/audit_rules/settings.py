"""What was promised outside the domain's document, by the setting's kind.

After-start settings (the affinity of vhost threads) and those of VFs and of
the host's modes get their rules here: kind to a function of the setting.
"""

from collections.abc import Callable, Iterator, Mapping

from kvm_tuning.core.effects import Setting
from kvm_tuning.core.finding import Finding, Severity
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Observed

SettingRule = Callable[[Setting, Observed, Inventory], Finding]

#: By kind; see :class:`kvm_tuning.core.effects.Setting`.
RULES: Mapping[str, SettingRule] = {}


def findings(
    settings: tuple[Setting, ...],
    observed: Observed | None,
    inventory: Inventory,
) -> Iterator[Finding]:
    """Yield one finding for each setting of a receipt."""
    for setting in settings:
        rule = RULES.get(setting.kind)
        if observed is None:
            yield _unknown(setting, 'the guest does not run', 'not-running')
        elif rule is None:
            yield _unknown(
                setting, 'no audit for this kind of setting', 'unaudited'
            )
        else:
            yield rule(setting, observed, inventory)


def _unknown(setting: Setting, why: str, code: str) -> Finding:
    severity = Severity.INFO if code == 'not-running' else Severity.UNKNOWN
    address = f'{setting.kind}/{setting.name}'
    return Finding(severity, address, setting.value, 'unknown', why, code)
