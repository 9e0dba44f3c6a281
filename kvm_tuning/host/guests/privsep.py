"""What takes rights: small functions that a privileged process runs.

Each takes the one thing it changes by number or address, checks it, and never
a path. Under Nova (and for whoever is not root) oslo.privsep starts the
process, by ``[kvm_tuning_privileged] helper_command``; root runs them itself.
"""

from collections.abc import Sequence
import os

from oslo_privsep import capabilities, priv_context

from kvm_tuning.host.guests import vhost, virtual_functions

ctx = priv_context.PrivContext(
    'kvm_tuning',
    cfg_section='kvm_tuning_privileged',
    pypath='kvm_tuning.host.privsep.ctx',
    # Attributes of VFs; the affinity of threads of another user.
    capabilities=[capabilities.CAP_NET_ADMIN, capabilities.CAP_SYS_NICE],
)


def use_own_rights() -> None:
    """Run the functions in this process, if it is root's."""
    if os.geteuid() == 0:
        ctx.set_client_mode(False)


@ctx.entrypoint
def set_affinity(tid: int, cpus: Sequence[int]) -> None:
    """Let a vhost thread run on ``cpus`` only.

    :raises OSError: it is none, has ended, or may not run there.
    """
    vhost.set_affinity(tid, cpus)


@ctx.entrypoint
def set_vf_attribute(pf: str, index: int, name: str, value: str) -> None:
    """Set an attribute that a PF keeps for its VF ``index``.

    :param pf: its PCI address.
    :param name: a key of :data:`virtual_functions.WRITTEN`.
    :raises OSError: the kernel's answer, or there is no such PF or VF.
    """
    virtual_functions.write(pf, index, name, value)
