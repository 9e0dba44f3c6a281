"""A server's guest settings from its receipt, in the libvirt of this host."""

from collections.abc import Sequence

from kvm_tuning.adapters import connection
from kvm_tuning.core import domain
from kvm_tuning.core.effects import Setting


def settings(uri: str, server: str) -> Sequence[Setting] | None:
    """Return what the receipt of a server says; None: there is no such server.

    :raises LibvirtFailed: libvirt does not answer.
    :raises InvalidDocument: the receipt cannot be read.
    """
    with connection.open(uri, read_only=True) as libvirt:
        record = libvirt.find(server)
    if record is None:
        return None
    xml = record.live or record.defined
    receipt = None if xml is None else domain.read(xml).receipt
    return () if receipt is None else receipt.settings
