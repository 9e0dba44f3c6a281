"""What is behind the guest's NICs."""

from collections.abc import Callable

from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict, equal
from kvm_tuning.core.drift import ABSENT
from kvm_tuning.core.observed import Nic, Unknown
from kvm_tuning.core.xml import paths


def _nic(case: Case) -> Nic | Unknown:
    mac = ''
    for key in paths.steps(case.point.path)[1].keys:
        if key.attribute == 'address':
            mac = key.value.lower()
    nic = case.observed.nics.get(mac)
    return nic or Unknown(f'the guest no longer has NIC {mac}')


def _plain(
    part: Callable[[Nic], int | Unknown], default: str
) -> Callable[[Case], Verdict]:
    """Return a check of a number; ``default`` counts where none is
    promised.
    """

    def check(case: Case) -> Verdict:
        nic = _nic(case)
        if isinstance(nic, Unknown):
            return Verdict.unknown(nic)
        wanted = default if case.wanted == ABSENT else case.wanted
        return equal(wanted, part(nic))

    return check


def _backend(case: Case) -> Verdict:
    """``vhost``: every queue has a descriptor of /dev/vhost-net. libvirt
    silently drops vhost for a domain of type qemu.
    """
    nic = _nic(case)
    if isinstance(nic, Unknown):
        return Verdict.unknown(nic)
    if isinstance(nic.vhost, Unknown):
        return Verdict.unknown(nic.vhost)
    if case.wanted != 'vhost':
        found = f'vhost, {nic.vhost} queues' if nic.vhost else 'qemu'
        return Verdict(not nic.vhost, found)
    if isinstance(nic.queues, Unknown):
        return Verdict.unknown(nic.queues)
    if not nic.vhost:
        return Verdict(False, 'qemu')
    return Verdict(
        nic.vhost == nic.queues,
        f'vhost for {nic.vhost} of {nic.queues} queues',
    )


def _model(case: Case) -> Verdict:
    """libvirt's ``virtio`` is QEMU's ``virtio-net-pci`` or ``-ccw``."""
    nic = _nic(case)
    if isinstance(nic, Unknown):
        return Verdict.unknown(nic)
    if isinstance(nic.model, Unknown):
        return Verdict.unknown(nic.model)
    start = 'virtio-net-' if case.wanted == 'virtio' else case.wanted
    kept = nic.model == case.wanted or (
        case.wanted.startswith('virtio') and nic.model.startswith(start)
    )
    return Verdict(kept, nic.model)


_RING = 'a short ring drops packets in bursts'

RULES: Rules = {
    ('devices/interface/driver', 'name'): Rule(
        _backend,
        'vif-backend',
        "packets go through QEMU's main loop",
    ),
    ('devices/interface/driver', 'queues'): Rule(
        _plain(lambda nic: nic.queues, '1'),
        'vif-queues',
        'vCPUs contend for fewer queues than promised',
    ),
    ('devices/interface/driver', 'rx_queue_size'): Rule(
        _plain(lambda nic: nic.rx_ring, '256'), 'vif-ring', _RING
    ),
    ('devices/interface/driver', 'tx_queue_size'): Rule(
        _plain(lambda nic: nic.tx_ring, '256'), 'vif-ring', _RING
    ),
    ('devices/interface/model', 'type'): Rule(
        _model, 'vif-model', 'the guest has a different NIC device'
    ),
}
