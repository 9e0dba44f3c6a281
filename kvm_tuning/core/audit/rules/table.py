"""The table of rules: which rule audits which address."""

from kvm_tuning.core import drift
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
from kvm_tuning.core.drift import Point

RULES: Rules = {
    **definition.NAMES,
    **affinity.RULES,
    **memory.RULES,
    **disks.RULES,
    **nics.RULES,
    **machine.RULES,
    **definition.RULES,
    **passthrough.RULES,
}

_UNAUDITED = Rule(definition.unaudited, 'unaudited', '')

#: The rules of addresses that have none of their own.
UNRULED = (definition.ABSENCE, _UNAUDITED)


def of(point: Point) -> Rule:
    """Return the rule that audits an address."""
    absent = point.wanted == drift.ABSENT
    return RULES.get(
        point.pattern, definition.ABSENCE if absent else _UNAUDITED
    )
