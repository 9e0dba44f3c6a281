"""Keeps a guest's receipt true while Nova changes the guest."""

import logging
from typing import Any

from nova import exception

from kvm_tuning.adapters.nova import threads, virtual_functions
from kvm_tuning.adapters.nova.tuning import Tuning
from kvm_tuning.core import cpuset, domain, receipt
from kvm_tuning.core.exceptions import KvmTuningError

LOG = logging.getLogger(__name__)

# libvirt-domain.h: virDomainMetadataType, virDomainModificationImpact.
_METADATA_ELEMENT = 2
_AFFECT_LIVE, _AFFECT_CONFIG = 1, 2


def record(tuning: Tuning, host: Any, instance: Any) -> None:
    """Write the receipt of a guest whose devices have changed, if it is still
    there.

    A failure is logged: the devices are what was asked, and the audit reads
    the flavor again.
    """
    try:
        guest = host.get_guest(instance)
        xml = _definition(guest)
        made = tuning.xml(instance, instance.image_meta, xml)
        if made != xml:
            _set(guest, made, _AFFECT_CONFIG | _live(guest))
    except exception.InstanceNotFound:
        return
    except Exception as error:
        _told(instance, error)


def moved(tuning: Tuning, host: Any, instance: Any) -> None:
    """Plan a guest again that has come from another host: its helper
    threads, its definition and its receipt, live and persistent.

    A failure is logged and left to the audit: the guest has arrived.
    """
    try:
        if not tuning.asked(instance):
            return
        guest = host.get_guest(instance)
        made = tuning.xml(instance, instance.image_meta, _definition(guest))
        host.write_instance_config(made)
        _set(guest, made, _AFFECT_LIVE)
        _pin(guest, made)
        threads.place(guest, domain.read(made))
    except Exception as error:
        _told(instance, error)


def _definition(guest: Any) -> str:
    return str(guest.get_xml_desc(dump_inactive=True, dump_sensitive=True))


def _live(guest: Any) -> int:
    return _AFFECT_LIVE if guest._domain.isActive() else 0


def _set(guest: Any, xml: str, flags: int) -> None:
    """Give the guest the receipt that is in ``xml``, or take it away."""
    guest._domain.setMetadata(
        _METADATA_ELEMENT,
        receipt.metadata(domain.read(xml).root),
        receipt.PREFIX,
        receipt.NAMESPACE,
        flags,
    )


def _pin(guest: Any, xml: str) -> None:
    """Move the threads of a running guest, but the vCPUs of one with cells:
    they are where Nova has put them.
    """
    facts = domain.read(xml).current
    if not facts.cells:
        for vcpu, cpus in facts.pins.items():
            guest._domain.pinVcpuFlags(
                vcpu, threads.to_map(cpus), _AFFECT_LIVE
            )
    if facts.emulator_pin:
        guest._domain.pinEmulator(
            threads.to_map(facts.emulator_pin), _AFFECT_LIVE
        )
    for number, cpus in facts.iothread_pins.items():
        guest._domain.pinIOThread(number, threads.to_map(cpus), _AFFECT_LIVE)


def reconcile(host: Any) -> None:
    """See, when nova-compute starts, that the receipts of this host's guests
    can be read, and that what they promise of running guests holds.

    A failure is logged, and left to the audit.
    """
    try:
        guests = list(host.list_guests(only_running=False))
    except Exception as error:
        LOG.warning('the guests of this host cannot be listed: %s', error)
        return
    running = set()
    for guest in guests:
        try:
            if guest._domain.isActive():
                running.add(guest.uuid)
            _reconcile(guest)
        except Exception as error:
            running.add(guest.uuid)
            LOG.warning('guest %s: %s', guest.uuid, error)
    virtual_functions.reconcile(running)


def _reconcile(guest: Any) -> None:
    xml = guest.get_xml_desc()
    if receipt.NAMESPACE not in xml:
        return
    found = domain.read(xml)
    if found.receipt is None:
        return
    if guest._domain.isActive():
        threads.replace(guest, domain.read(_definition(guest)), found)
    pins = [cpuset.format(c) for c in found.current.pins.values()]
    LOG.info(
        'guest %s is tuned as flavor %s asks; its vCPUs are on %s',
        guest.uuid,
        found.receipt.flavor,
        ' '.join(pins) or 'any pCPU',
    )


def _told(instance: Any, error: Exception) -> None:
    code = error.code if isinstance(error, KvmTuningError) else ''
    LOG.warning(
        'the receipt of instance %s is not up to date; `kvm-tuning guest '
        'audit` compares: %s %s',
        instance.uuid,
        code or type(error).__name__,
        error,
    )
