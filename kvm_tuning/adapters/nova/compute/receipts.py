"""Keep a guest's receipt true while Nova changes the guest."""

from dataclasses import replace
import logging
import re
from typing import Any

from nova import exception

from kvm_tuning.adapters.nova.compute import threads, virtual_functions
from kvm_tuning.adapters.nova.compute.tuning import Tuning
from kvm_tuning.core import cpuset, domain, receipt
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml import paths

LOG = logging.getLogger(__name__)

# libvirt-domain.h: virDomainMetadataType, virDomainModificationImpact.
_METADATA_ELEMENT = 2
_AFFECT_LIVE, _AFFECT_CONFIG = 1, 2

# The part of a promise's path that names a device.
_DEVICE = re.compile(r'devices/[^/\[]+(\[[^\]]*\])*')


def record(tuning: Tuning, host: Any, instance: Any) -> None:
    """Write the receipt of a guest whose devices have changed, if it still
    exists, and place the threads of new devices.

    What was promised of the other devices stays: they have not changed, though
    the host may prefer something else by now. A failure is logged: the devices
    are what was requested, and the audit reads the flavor again.
    """
    try:
        guest = host.get_guest(instance)
        found = domain.read(_definition(guest))
        made = tuning.xml(instance, instance.image_meta, found.xml)
        now = _standing(found, domain.read(made).receipt)
        if now != found.receipt:
            _set(guest, now, _AFFECT_CONFIG | _live(guest))
        if now is not None and _live(guest):
            threads.place(guest, replace(found, receipt=now))
    except exception.InstanceNotFound:
        return
    except Exception as error:
        _told(instance, error)


def moved(tuning: Tuning, host: Any, instance: Any) -> None:
    """Plan a guest that has come from another host again: its helper threads,
    its definition and its receipt, live and persistent.

    A failure is logged and left to the audit: the guest has arrived.
    """
    try:
        if not tuning.concerns(instance):
            return
        guest = host.get_guest(instance)
        made = tuning.arrived(
            instance, instance.image_meta, _definition(guest)
        )
        host.write_instance_config(made)
        found = domain.read(made)
        _set(guest, found.receipt, _AFFECT_LIVE)
        _pin(guest, made)
        threads.place(guest, found)
    except Exception as error:
        _told(instance, error)


def replaced(host: Any, instance: Any) -> None:
    """Place the threads of a guest that Nova has ended and started again
    without writing its XML again.

    A failure is logged and left to the audit: the guest runs.
    """
    try:
        guest = host.get_guest(instance)
        threads.started(guest, _definition(guest))
    except Exception as error:
        _told(instance, error)


def _definition(guest: Any) -> str:
    return str(guest.get_xml_desc(dump_inactive=True, dump_sensitive=True))


def _live(guest: Any) -> int:
    return _AFFECT_LIVE if guest._domain.isActive() else 0


def _standing(found: Domain, made: Receipt | None) -> Receipt | None:
    """Return the receipt of a guest as it is: what was promised of everything
    that is still there, and what its plan promises and it already has.

    :param made: the receipt of the plan.
    """
    like = found.receipt or made
    if like is None:
        return None
    before = found.receipt.promises if found.receipt else ()
    has = {p.path: p for p in (made.promises if made else ()) if _has(p)}
    kept = [
        # A disk that was swapped has what is requested now.
        has.pop(promise.path, promise)
        for promise in before
        if _is_there(found, promise.path)
    ]
    kept += has.values()
    settings = made.settings if made else ()
    if not (kept or settings or like.unkept):
        return None
    return replace(like, promises=tuple(kept), settings=settings)


def _is_there(found: Domain, path: str) -> bool:
    device = _DEVICE.match(path)
    return device is None or bool(paths.find(found.root, device[0]))


def _has(promise: Promise | Removal) -> bool:
    """Return whether the promise needed no change."""
    if isinstance(promise, Removal):
        return not promise.removed
    return not promise.made and promise.found == promise.wanted


def _set(guest: Any, which: Receipt | None, flags: int) -> None:
    """Give the guest a receipt, or remove its receipt."""
    guest._domain.setMetadata(
        _METADATA_ELEMENT,
        None if which is None else receipt.as_metadata(receipt.write(which)),
        receipt.PREFIX,
        receipt.NAMESPACE,
        flags,
    )


def _pin(guest: Any, xml: str) -> None:
    """Move the threads of a running guest, except the vCPUs of one with cells:
    they are where Nova put them.
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
    """When nova-compute starts, check that the receipts of this host's guests
    can be read, and that what they promise of running guests holds.

    A failure is logged and left to the audit.
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
