"""The table of rules: which rule audits which address."""

from kvm_tuning.core.audit.rules import (
    affinity,
    definition,
    disks,
    machine,
    memory,
    nics,
    passthrough,
)
from kvm_tuning.core.audit.rules.rule import Rule, Rules

RULES: Rules = {
    **affinity.RULES,
    **memory.RULES,
    **disks.RULES,
    **nics.RULES,
    **machine.RULES,
    **definition.RULES,
    **passthrough.RULES,
}

#: For an address that no rule knows.
FALLBACK = Rule(definition.unaudited, 'unaudited', '')
