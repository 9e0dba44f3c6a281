"""Compare what was promised to a guest with what it really has.

Findings are data, not errors: one for every promise of the receipt, kept or
not, and one for everything else that is wrong.
"""

from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.finding import Finding, Severity
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.observed import Observed
from kvm_tuning.core.receipt import Receipt

__all__ = ['Finding', 'Severity', 'compare', 'unreadable']


def compare(
    domain: Domain,
    receipt: Receipt | None,
    observed: Observed | None,
    inventory: Inventory,
    others: Ledger,
) -> tuple[Finding, ...]:
    """Return the findings of one guest, its promises first.

    ``domain`` is of the *live* XML of a running guest, of the definition of
    a stopped one, for which ``observed`` is None. ``receipt`` is the one of
    the definition: a guest that was tuned while it ran shows what is still
    to come. ``others`` holds the claims of all other guests.
    """
    raise NotImplementedError


def unreadable(error: KvmTuningError) -> Finding:
    """Return the finding of a domain whose receipt or XML is unreadable."""
    return Finding(
        Severity.ERROR,
        'metadata/receipt',
        'a readable receipt',
        str(error),
        'what was promised to this guest is not known',
        'receipt-unreadable',
    )
