"""Functions that need privileges, run by a privileged process.

Each changes one thing, named by number or address and never by a path, and
checks it first. Under Nova, and for any user but root, oslo.privsep starts the
process (``[kvm_tuning_privileged] helper_command``); root calls them directly.
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
    """Run the functions in this process if it belongs to root."""
    if os.geteuid() == 0:
        ctx.set_client_mode(False)


@ctx.entrypoint
def set_affinity(tid: int, cpus: Sequence[int]) -> None:
    """Restrict a vhost thread to ``cpus``.

    :raises OSError: it is not a vhost thread, has ended, or may not run
        there.
    """
    vhost.set_affinity(tid, cpus)


@ctx.entrypoint
def set_vf_attribute(pf: str, index: int, name: str, value: str) -> None:
    """Set an attribute of VF ``index`` that its PF holds.

    :param pf: its PCI address.
    :param name: a key of :data:`virtual_functions.WRITTEN`.
    :raises OSError: the kernel's answer, or the PF or VF does not exist.
    """
    virtual_functions.write(pf, index, name, value)
