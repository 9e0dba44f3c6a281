"""Functions that need privileges, run by a privileged process.

Each takes the one thing it changes by number or address, and the guest that
it is for, and never a path. Whether the guest has it, it looks up itself.
Under Nova (and for whoever is not root) oslo.privsep starts the process, by
``[kvm_tuning_privileged] helper_command``; root runs them itself.
"""

from collections.abc import Iterator, Sequence
import contextlib
import errno
import os

from oslo_privsep import capabilities, priv_context

from kvm_tuning.host.guests import vf_rights, vhost, virtual_functions

ctx = priv_context.PrivContext(
    'kvm_tuning',
    cfg_section='kvm_tuning_privileged',
    pypath='kvm_tuning.host.privsep.ctx',
    # Attributes of VFs; the affinity of threads of another user.
    capabilities=[capabilities.CAP_NET_ADMIN, capabilities.CAP_SYS_NICE],
)


# Whether the caller is root itself: what it wants, it could do without us.
_own_rights: list[bool] = []


def use_own_rights() -> None:
    """Run the functions in this process if it belongs to root."""
    if os.geteuid() == 0:
        ctx.set_client_mode(False)
        _own_rights[:] = [True]


@ctx.entrypoint
def set_affinity(uuid: str, name: str, tid: int, cpus: Sequence[int]) -> None:
    """Let a vhost thread of a guest run on ``cpus`` only.

    :param uuid: the guest's.
    :param name: the guest's, as libvirt has it.
    :raises OSError: it is not that guest's, has ended, or may not run there.
    """
    with _plain_errors():
        vhost.set_affinity(uuid, name, tid, cpus)


@ctx.entrypoint
def set_vf_attribute(
    uuid: str, pf: str, index: int, name: str, value: str
) -> None:
    """Set an attribute that a PF keeps for its VF ``index``.

    :param uuid: the guest's that has the VF, by its definition.
    :param pf: its PCI address.
    :param name: a key of :data:`virtual_functions.WRITTEN`.
    :raises OSError: the kernel's answer, there is no such PF or VF, or it is
        not the guest's.
    """
    with _plain_errors():
        virtual_functions.check(pf, name, value)
        if _own_rights:
            virtual_functions.write(pf, index, name, value)
            return
        vf_rights.set_attribute(
            uuid,
            (pf, index),
            name,
            value,
            virtual_functions.read,
            virtual_functions.write,
        )


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise errors that the caller's process can make again of their words:
    oslo.privsep calls the class with them.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno or errno.EIO, str(error.strerror or error)
        ) from error
