"""Enforce what a receipt promises of a running guest's threads.

libvirt pins vCPUs, the emulator and iothreads when a guest starts. It has no
element for vhost threads: they are placed once the guest runs. All are placed
again when nova-compute starts, as somebody may have moved them since. A
failure is reported and left to the audit; no guest fails for it.
"""

from collections.abc import Iterator
import logging
from typing import Any

from kvm_tuning.core import cpuset, domain, receipt
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.edit import Promise
from kvm_tuning.core.effects import Phase
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.xml import pins
from kvm_tuning.host.access.system import System
from kvm_tuning.host.guests import observe
from kvm_tuning.host.guests.settings import (
    Engine,
    Owner,
    PrivilegedWriter,
    Result,
    Writer,
)

LOG = logging.getLogger(__name__)

ROOT = '/'
WRITER: Writer = PrivilegedWriter()

# libvirt-domain.h: virDomainModificationImpact.
_AFFECT_LIVE = 1


def started(guest: Any, xml: str) -> None:
    """Enforce what a guest that Nova has just started was promised.

    :param xml: what it was defined with.
    """
    try:
        if receipt.has_settings(xml) and guest._domain.isActive():
            place(guest, domain.read(xml))
    except Exception as error:
        LOG.warning('threads of guest %s: %s', guest.uuid, error)


def place(guest: Any, found: Domain) -> None:
    """Place the threads of a running guest that libvirt does not pin.

    :param found: the document whose receipt promises it.
    :raises InventoryUnreadable: its process cannot be found.
    """
    settings = [
        setting
        for setting in (found.receipt.settings if found.receipt else ())
        if setting.phase is Phase.AFTER_START
    ]
    if not settings:
        return
    owner = Owner(guest.uuid, guest.name)
    pid = observe.find(owner.uuid, owner.name, ROOT)
    maker = Engine(WRITER, System(ROOT))
    for step in maker.after_start(owner, settings, pid, ROOT):
        failed = step.result is Result.FAILED
        LOG.log(
            logging.WARNING if failed else logging.INFO,
            'guest %s: %s %s on pCPUs %s: %s %s',
            guest.uuid,
            step.kind,
            step.name,
            step.value,
            step.result.value,
            step.detail,
        )


def replace(guest: Any, defined: Domain, live: Domain) -> None:
    """Put the threads of a running guest back where they were promised.

    A pin counts only while the definition has it, too: if the guest has come
    from another host, the receipt may be that host's.
    """
    promised = _promised(defined)
    for path, wanted, now, pin in _pins(defined.current, live.current):
        if now == wanted or promised.get(path) != wanted:
            continue
        method, *which = pin
        getattr(guest._domain, method)(*which, to_map(wanted), _AFFECT_LIVE)
        LOG.warning(
            'guest %s: %s was on pCPUs %s, and is on %s again, as promised',
            guest.uuid,
            path,
            'any' if now is None else cpuset.format(now),
            cpuset.format(wanted),
        )
    place(guest, defined)


def to_map(cpus: frozenset[int]) -> tuple[bool, ...]:
    """Return pCPUs as libvirt's Python binding takes them."""
    return tuple(cpu in cpus for cpu in range(max(cpus, default=-1) + 1))


def _promised(defined: Domain) -> dict[str, frozenset[int]]:
    found = {}
    for promise in defined.receipt.promises if defined.receipt else ():
        if isinstance(promise, Promise):
            text = promise.wanted.get('cpuset')
            if text is not None:
                found[promise.path] = cpuset.parse(text)
    return found


_Pin = tuple[
    str, frozenset[int], frozenset[int] | None, tuple[str] | tuple[str, int]
]


def _pins(defined: Guest, live: Guest) -> Iterator[_Pin]:
    """Yield each pin's path, its pCPUs by definition and in reality, and
    libvirt's method that sets it.
    """
    for vcpu, cpus in defined.pins.items():
        path = pins.vcpu_pin(vcpu)
        yield path, cpus, live.pins.get(vcpu), ('pinVcpuFlags', vcpu)
    emulator = defined.emulator_pin
    if emulator is not None:
        path = pins.EMULATOR_PIN
        yield path, emulator, live.emulator_pin, ('pinEmulator',)
    for number, cpus in defined.iothread_pins.items():
        path = pins.iothread_pin(number)
        now = live.iothread_pins.get(number)
        yield path, cpus, now, ('pinIOThread', number)
