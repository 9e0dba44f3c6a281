"""Observe a running guest: /proc, QEMU's arguments, the live XML.

QEMU itself is not queried: libvirt's monitor passthrough taints the domain. A
caller who accepts that passes ``monitor``.
"""

from kvm_tuning.core import domain
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Arguments, Observed, Unknown
from kvm_tuning.host.access.proc import Process
from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.guests import (
    disks,
    functions,
    memory,
    nics,
    qemu_args,
    threads,
)
from kvm_tuning.host.guests.process import Guest
from kvm_tuning.host.guests.qemu_process import Processes
from kvm_tuning.host.guests.threads import Monitor
from kvm_tuning.host.probes import prober

__all__ = ['Monitor', 'find', 'observe']


def observe(
    pid: int,
    live: str | Domain,
    root: str = '/',
    monitor: Monitor | None = None,
    known: Processes | None = None,
) -> Observed:
    """Return what the guest in process ``pid`` really has.

    :param live: the live document, or its XML.
    :param known: the processes below ``root``, if they have been looked at.
    :raises InvalidDocument: the live XML is none.
    :raises InventoryUnreadable: there is no such process, it has ended
        meanwhile, or it is another guest's.
    """
    document = domain.read(live) if isinstance(live, str) else live
    process = Process(pid, root)
    cmdline = process.raw('cmdline')
    arguments: Arguments | Unknown
    if isinstance(cmdline, Unknown):
        arguments = cmdline
    else:
        arguments = qemu_args.parse(cmdline)
        _check(pid, arguments, document.current.uuid)
    guest = Guest(process, arguments, process.links(), monitor)
    return Observed(
        pid=pid,
        threads=threads.read(process, arguments, monitor, known),
        memory=memory.read(process, arguments),
        nics=nics.nics(guest, document.root),
        disks=disks.disks(guest, document.root),
        controllers=disks.controllers(guest, document.root),
        arguments=arguments,
        functions=functions.read(document.current, root),
        transparent_huge_pages=_huge_pages(root),
    )


def _huge_pages(root: str) -> str | Unknown:
    mode = prober.read_transparent_huge_pages(Tree(root))
    return mode or Unknown('this kernel does not have transparent huge pages')


def find(uuid: str, name: str = '', root: str = '/') -> int:
    """Return the process that is libvirt's QEMU of a guest: for what acts on
    it.

    :raises InventoryUnreadable: there is none that is known to be libvirt's.
    """
    return Processes(root).libvirts(uuid, name)


def _check(pid: int, arguments: Arguments, uuid: str | None) -> None:
    """Check that a process id from a file is still the guest's."""
    for value in arguments.of('uuid'):
        if uuid is not None and value.get('') != uuid:
            raise InventoryUnreadable(
                f'process {pid} is the guest {value.get("")}, not {uuid}'
            )
