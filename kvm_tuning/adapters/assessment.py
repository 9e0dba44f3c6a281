"""Assess the guests of a host, tuned or not: read and judge, change nothing.

The guests are those of libvirt, those whose live documents are given, and
every other QEMU in /proc.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
import os
import time
from typing import Protocol

from kvm_tuning.core.assess import assess, document
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.guest import Foreign, Guest, Nic, Setup
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import (
    InvalidDocument,
    InventoryUnreadable,
    WrongUsage,
)
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Arguments, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import (
    activity,
    command_line,
    memory,
    qemu_args,
    threads,
)
from kvm_tuning.host.guests.memory_use import Reader
from kvm_tuning.host.guests.qemu_process import Processes
from kvm_tuning.host.inventory import reader

_RECORDED = Unknown(
    'what processes of others do is sampled',
    'a host that runs, and --seconds',
)


class Libvirt(Protocol):
    """The calls to libvirt that an assessment needs."""

    def records(self) -> list[Record]: ...


@dataclass(frozen=True, slots=True)
class How:
    """How guests are looked at."""

    root: str = '/'
    #: Between the two samples; 0: there is one.
    seconds: float = 0
    #: Read page tables where no control group counts memory.
    walk: bool = True


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found on a host."""

    inventory: Inventory
    guests: tuple[Assessed, ...]


def assessment(
    records: Sequence[Record], how: How, names: Sequence[str] = ()
) -> Assessment:
    """Return the findings of the guests ``names``, or of all that run.

    :param records: guests of libvirt, or none.
    :raises WrongUsage: there is no such guest.
    :raises InventoryUnreadable: the host's files are not as documented.
    """
    inventory = reader.read(how.root)
    look = _Look(how, inventory)
    guests, foreign = look.guests(records)
    wanted = _wanted(guests, names) if names else None
    return Assessment(
        inventory, assess.assess(inventory, guests, foreign, wanted)
    )


def _wanted(guests: Sequence[Guest], names: Sequence[str]) -> set[str]:
    """Return the keys of the guests with these names, UUIDs or pids.

    :raises WrongUsage: there is no such guest.
    """
    found = set()
    for name in names:
        keys = {
            guest.key
            for guest in guests
            if name in (guest.setup.name, str(guest.pid))
            or name.lower() == guest.setup.uuid
        }
        if not keys:
            running = ', '.join(sorted(each.setup.name for each in guests))
            raise WrongUsage(
                f'no running guest has the name, UUID or pid {name!r}; '
                f'running: {running or "none"}'
            )
        found |= keys
    return found


class _Look:
    """Looks at the guests of a host once."""

    def __init__(self, how: How, inventory: Inventory) -> None:
        self._how = how
        self._tree = Tree(how.root)
        self._processes = Processes(how.root)
        self._memory = Reader(how.root, inventory.page_size_kib, how.walk)

    def guests(
        self, records: Sequence[Record]
    ) -> tuple[list[Guest], tuple[Foreign, ...] | Unknown]:
        """Return the guests, and who else used CPU time."""
        found = [
            guest
            for setup, pid in self._found(records)
            for guest in self._guest(setup, pid)
        ]
        seconds = self._how.seconds
        if not seconds:
            return found, _RECORDED
        pids = {guest.pid for guest in found if guest.pid is not None}
        others = activity.Others(self._how.root, pids)
        started = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - started
        return [self._later(each) for each in found], others.busy(passed)

    def _found(
        self, records: Sequence[Record]
    ) -> Iterator[tuple[Setup, int | None]]:
        seen = set()
        for record in records:
            if record.live is None:
                continue
            pid = self._pid(record)
            setup = self._described(record, pid)
            if pid is not None:
                seen.add(pid)
            if setup is not None:
                yield setup, pid
        for pid in self._processes.qemus:
            arguments = self._arguments(pid)
            if pid in seen or isinstance(arguments, Unknown):
                continue
            # libvirt asks such a QEMU what it can do.
            if command_line.machine(arguments) != 'none':
                setup = command_line.read(arguments)
                name = setup.name or f'pid {pid}'
                yield replace(setup, name=name), pid

    def _pid(self, record: Record) -> int | None:
        try:
            return self._processes.claimed(record.uuid, record.name).pid
        except InventoryUnreadable:
            return None

    def _described(self, record: Record, pid: int | None) -> Setup | None:
        """Return how the guest of a record is set up; None where neither its
        document nor its process tells.
        """
        arguments = Arguments() if pid is None else self._arguments(pid)
        try:
            if record.running is None:
                return None
            setup = document.read(record.running)
        except InvalidDocument:
            if pid is None or isinstance(arguments, Unknown):
                return None
            setup = command_line.read(arguments)
            return replace(setup, name=record.name, uuid=record.uuid)
        started: Mapping[str, Nic] = {}
        if not isinstance(arguments, Unknown):
            nics = command_line.read(arguments).nics
            started = {each.name: each for each in nics}
        return replace(
            setup,
            nics=tuple(
                replace(nic, vhost=started[nic.name].vhost)
                if nic.vhost is None and nic.name in started
                else nic
                for nic in setup.nics
            ),
        )

    def _arguments(self, pid: int) -> Arguments | Unknown:
        try:
            raw = Process(pid, self._how.root).raw('cmdline')
        except InventoryUnreadable as error:
            return Unknown(str(error))
        return raw if isinstance(raw, Unknown) else qemu_args.parse(raw)

    def _guest(self, setup: Setup, pid: int | None) -> Iterator[Guest]:
        """Yield the guest, unless it has ended meanwhile."""
        setup = replace(setup, nics=tuple(map(self._with_enabled, setup.nics)))
        if pid is None:
            yield Guest(setup)
            return
        try:
            process = Process(pid, self._how.root)
            found = threads.read(
                process, self._arguments(pid), None, self._processes
            )
            ksm = memory.ksm(process)
            yield Guest(
                setup,
                pid,
                found,
                self._memory.read(process),
                ksm if isinstance(ksm, Unknown) else ksm.merging_pages,
                found
                if isinstance(found, Unknown)
                else activity.vcpus(process, found),
            )
        except InventoryUnreadable:
            return

    def _later(self, guest: Guest) -> Guest:
        """Return a guest with what it did since it was looked at."""
        if guest.pid is None or isinstance(guest.threads, Unknown):
            return guest
        try:
            now = activity.vcpus(
                Process(guest.pid, self._how.root), guest.threads
            )
        except InventoryUnreadable as error:
            now = Unknown(str(error))
        return replace(
            guest,
            activity=activity.between(guest.activity, now),
            seconds=self._how.seconds,
        )

    def _with_enabled(self, nic: Nic) -> Nic:
        """Count the queues that the guest has enabled: a tap shows no
        others in sysfs.
        """
        if not nic.host or os.sep in nic.host:
            return nic
        try:
            names = self._tree.names(f'sys/class/net/{nic.host}/queues')
        except InventoryUnreadable:
            return nic
        count = sum(name.startswith('rx-') for name in names)
        return replace(nic, enabled=count or None)
