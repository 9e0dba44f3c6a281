"""The host that nova-compute runs on, as the site of a plan.

What a host has and what works on it is read when the driver starts and again
with Nova's periodic audit, not for every guest. Nova's configuration says
which pCPUs are dedicated or shared; Nova knows who holds them.
"""

from dataclasses import dataclass, replace
import threading
from typing import Any, Protocol

from nova.virt import hardware

from kvm_tuning.adapters.nova.fit.host_cells import Domains
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.inventory import Inventory, PciDevice
from kvm_tuning.core.request import Request
from kvm_tuning.core.site import Capabilities, Policy, Site
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.inventory import devices, reader
from kvm_tuning.host.probes import prober, storage

_Version = tuple[int, int, int]


class Readers(Protocol):
    """The functions that read a host."""

    def inventory(self) -> Inventory: ...

    def functions(self) -> tuple[PciDevice, ...]: ...

    def capabilities(
        self, libvirt: _Version | None, qemu: _Version | None
    ) -> Capabilities: ...


class ThisHost:
    """Reads the host that the process runs on."""

    def inventory(self) -> Inventory:
        """Return its CPUs, caches and cells."""
        return reader.read('/', devices=False)

    def functions(self) -> tuple[PciDevice, ...]:
        """Return its PCI functions."""
        return devices.read(Tree('/'), []).pci

    def capabilities(
        self, libvirt: _Version | None, qemu: _Version | None
    ) -> Capabilities:
        """Return what works on it."""
        return prober.probe((), '/', libvirt, qemu)


@dataclass(frozen=True)
class _Seen:
    inventory: Inventory
    capabilities: Capabilities
    policy: Policy


class Host:
    """This host. Safe for threads."""

    def __init__(self, libvirt: Any, readers: Readers | None = None) -> None:
        """:param libvirt: Nova's ``virt.libvirt.host.Host``."""
        self._libvirt = libvirt
        self._readers: Readers = readers or ThisHost()
        self._lock = threading.Lock()
        self._seen: _Seen | None = None

    def refresh(self) -> None:
        """Read it again.

        :raises InventoryUnreadable: it is not as documented.
        """
        inventory = self._readers.inventory()
        before = self._seen
        if before is not None and before.inventory == inventory:
            # What others derived from it stays with it.
            inventory = before.inventory
        capabilities = self._readers.capabilities(*self._versions())
        with self._lock:
            self._seen = _Seen(inventory, capabilities, policy())

    @property
    def domains(self) -> Domains:
        """Its L3 domains; empty when the kernel shows none."""
        return self._now().inventory.l3

    @property
    def inventory(self) -> Inventory:
        """Its CPUs, caches and cells."""
        return self._now().inventory

    @property
    def dedicated(self) -> frozenset[int] | None:
        """The pCPUs that Nova may dedicate; None: any."""
        return self._now().policy.dedicated_cpus

    @property
    def capabilities(self) -> Capabilities:
        """What works on it."""
        return self._now().capabilities

    def site(self, request: Request, guest: Guest) -> Site:
        """Return the site for a guest that Nova has placed."""
        seen = self._now()
        capabilities = seen.capabilities
        if any(knob.needs_storage for knob in request.knobs):
            paths = [disk.source for disk in guest.disks if disk.source]
            capabilities = replace(
                capabilities,
                storage={path: storage.probe(path) for path in paths},
            )
        inventory = seen.inventory
        if guest.passed_through and any(
            knob.needs_functions for knob in request.knobs
        ):
            # VFs come and go.
            inventory = replace(inventory, devices=self._readers.functions())
        return Site(inventory, capabilities=capabilities, policy=seen.policy)

    def _now(self) -> _Seen:
        if self._seen is None:
            self.refresh()
        assert self._seen is not None
        return self._seen

    def _versions(self) -> tuple[_Version | None, _Version | None]:
        connection = self._libvirt.get_connection()
        return (
            _version(connection.getLibVersion()),
            _version(connection.getVersion()),
        )


def policy() -> Policy:
    """Return what Nova's ``[compute]`` allows."""
    dedicated = hardware.get_cpu_dedicated_set()
    shared = hardware.get_cpu_shared_set()
    return Policy(
        dedicated_cpus=None if dedicated is None else frozenset(dedicated),
        shared_cpus=None if shared is None else frozenset(shared),
    )


def _version(number: Any) -> _Version | None:
    """Decode libvirt's number, major * 1000000 + minor * 1000 + release."""
    if not isinstance(number, int):
        return None
    return number // 1000000, number // 1000 % 1000, number % 1000
