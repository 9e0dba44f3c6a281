"""Sites and demands for the tests of placement."""

from kvm_tuning.core.demands import CellDemand
from kvm_tuning.core.ledger import Claim, Ledger
from kvm_tuning.core.site import Policy, Site

MIB = 1024


def dedicated(cell, vcpus, memory_kib=MIB):
    """A guest cell whose vCPUs are all dedicated."""
    own = frozenset(range(100 * cell, 100 * cell + vcpus))
    return CellDemand(cell, own, own, memory_kib)


def floating(vcpus, cell=0, whole=False, memory_kib=MIB):
    """A guest cell whose vCPUs are all shared."""
    own = frozenset(range(100 * cell, 100 * cell + vcpus))
    return CellDemand(cell, own, frozenset(), memory_kib, whole)


def site(host, taken=(), shared=(), claims=(), **policy):
    """A site where all but ``shared`` may be dedicated."""
    inventory = host.inventory()
    policy.setdefault('dedicated_cpus', inventory.online - frozenset(shared))
    return Site(
        inventory,
        Ledger((Claim('other', 'other', frozenset(taken)), *claims)),
        policy=Policy(**policy),
    )
