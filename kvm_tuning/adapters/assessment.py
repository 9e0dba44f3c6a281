"""Assess the guests of a host, tuned or not: read and judge, change nothing.

The guests are those of libvirt, those whose live documents are given, and
every other QEMU in /proc.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
import os
import time
from typing import TYPE_CHECKING

from kvm_tuning.core.assess import assess, document
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.finding import Finding
from kvm_tuning.core.assess.guest import Foreign, Guest, Nic
from kvm_tuning.core.assess.rules.host import State
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import (
    InvalidDocument,
    InventoryUnreadable,
    WrongUsage,
)
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.observed import Arguments, Unknown
from kvm_tuning.host import ready
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
from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.groups import ksm
from kvm_tuning.host.probes import prober

if TYPE_CHECKING:
    from oslo_config import cfg

_RECORDED = Unknown(
    'what processes of others do is sampled',
    'a host that runs, and --seconds',
)


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


def of_host(root: str, conf: 'cfg.ConfigOpts') -> tuple[Finding, ...]:
    """Return the findings about the host below ``root`` itself.

    :raises InventoryUnreadable: the host's files are not as documented.
    """
    tree = Tree(root)
    merging = ksm.read(Host(tree))
    return assess.assess_host(
        reader.read(root, devices=False),
        State(
            ready.check(root, conf),
            prober.read_transparent_huge_pages(tree),
            None if merging.run is None else merging.run == '1',
            None
            if merging.merge_across_nodes is None
            else merging.merge_across_nodes == '1',
        ),
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
        self._parsed: dict[int, Arguments | Unknown] = {}
        self._memory = Reader(how.root, inventory.page_size_kib, how.walk)

    def guests(
        self, records: Sequence[Record]
    ) -> tuple[list[Guest], tuple[Foreign, ...] | Unknown]:
        """Return the guests, and who else used CPU time."""
        found = [
            guest
            for first in self._found(records)
            for guest in self._observed(first)
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

    def _found(self, records: Sequence[Record]) -> Iterator[Guest]:
        """Yield each guest as it is set up."""
        seen = set()
        for record in records:
            if record.live is None:
                continue
            guest = self._described(record, self._pid(record))
            seen.add(guest.pid)
            yield guest
        for pid in self._processes.qemus:
            arguments = self._arguments(pid)
            if pid in seen or isinstance(arguments, Unknown):
                continue
            # libvirt asks such a QEMU what it can do.
            if command_line.machine(arguments) != 'none':
                setup = command_line.read(arguments)
                name = setup.name or f'pid {pid}'
                yield Guest(replace(setup, name=name), pid)

    def _pid(self, record: Record) -> int | None:
        try:
            return self._processes.claimed(record.uuid, record.name).pid
        except InventoryUnreadable:
            return None

    def _described(self, record: Record, pid: int | None) -> Guest:
        """Return the guest of a record, by its document or, where that
        cannot be read, by QEMU's arguments.
        """
        arguments = Arguments() if pid is None else self._arguments(pid)
        seen = not isinstance(arguments, Unknown)
        setup = command_line.read(
            Arguments() if isinstance(arguments, Unknown) else arguments
        )
        try:
            assert record.running is not None
            described = document.read(record.running)
        except InvalidDocument as error:
            unseen = Unknown(f'its document cannot be read: {error}')
            return Guest(
                replace(setup, name=record.name, uuid=record.uuid),
                pid,
                unseen=None if pid is not None and seen else unseen,
            )
        started = {each.name: each.vhost for each in setup.nics}
        nics = tuple(
            replace(nic, vhost=started.get(nic.name))
            if nic.vhost is None
            else nic
            for nic in described.nics
        )
        return Guest(replace(described, nics=nics), pid)

    def _arguments(self, pid: int) -> Arguments | Unknown:
        """Return the arguments of a process, parsed once."""
        if pid not in self._parsed:
            try:
                raw = Process(pid, self._how.root).raw('cmdline')
            except InventoryUnreadable as error:
                raw = Unknown(str(error))
            self._parsed[pid] = (
                raw if isinstance(raw, Unknown) else qemu_args.parse(raw)
            )
        return self._parsed[pid]

    def _observed(self, guest: Guest) -> Iterator[Guest]:
        """Yield a guest with what the kernel shows of it, unless it has
        ended meanwhile.
        """
        nics = tuple(map(self._with_enabled, guest.setup.nics))
        guest = replace(guest, setup=replace(guest.setup, nics=nics))
        if guest.pid is None:
            yield guest
            return
        try:
            process = Process(guest.pid, self._how.root)
            found = threads.read(
                process, self._arguments(guest.pid), None, self._processes
            )
            merged = memory.ksm(process)
            yield replace(
                guest,
                threads=found,
                memory=self._memory.read(process),
                merged_pages=merged
                if isinstance(merged, Unknown)
                else merged.merging_pages,
                activity=found
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
