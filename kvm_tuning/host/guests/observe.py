"""Observe a running guest: /proc, QEMU's arguments, the live XML.

QEMU itself is not queried: libvirt's monitor passthrough taints the domain. A
caller who accepts that passes ``monitor``.
"""

import os

from kvm_tuning.core import domain as domain_
from kvm_tuning.core.exceptions import InventoryUnreadable
from kvm_tuning.core.observed import Arguments, Observed, Unknown
from kvm_tuning.host.access.proc import Process, processes
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
from kvm_tuning.host.guests.threads import Monitor
from kvm_tuning.host.probes import prober

__all__ = ['Monitor', 'find', 'observe']

_RUN = ('run/libvirt/qemu', 'var/run/libvirt/qemu')


def observe(
    pid: int,
    live_xml: str,
    root: str = '/',
    monitor: Monitor | None = None,
) -> Observed:
    """Return what the guest in process ``pid`` really has.

    :raises InvalidDocument: the live XML is not a domain.
    :raises InventoryUnreadable: the process does not exist, ended meanwhile,
        or is another guest.
    """
    document = domain_.read(live_xml)
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
        threads=threads.read(process, arguments, monitor),
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
    """Return the process id of the guest with this UUID.

    libvirt's pid file is tried first, and believed only if the arguments of
    that process have the UUID.

    :raises InventoryUnreadable: no process has it.
    """
    for folder in _RUN if name else ():
        path = os.path.join(root, folder, f'{name}.pid')
        try:
            with open(path) as file:
                pid = int(file.read(32))
        except (OSError, ValueError):
            continue
        if _is(pid, uuid, root):
            return pid
    for pid in processes(root):
        if _is(pid, uuid, root):
            return pid
    raise InventoryUnreadable(
        f'no process below {os.path.join(root, "proc")} is the QEMU of '
        f'guest {name or uuid}: it is not running, or runs in another PID '
        f'namespace'
    )


def _is(pid: int, uuid: str, root: str) -> bool:
    try:
        cmdline = Process(pid, root).raw('cmdline')
    except InventoryUnreadable:
        return False
    if isinstance(cmdline, Unknown):
        return False
    return f'\0-uuid\0{uuid}\0'.encode() in cmdline


def _check(pid: int, arguments: Arguments, uuid: str | None) -> None:
    """Check that a process id from a file is still the guest's."""
    for value in arguments.of('uuid'):
        if uuid is not None and value.get('') != uuid:
            raise InventoryUnreadable(
                f'process {pid} is the guest {value.get("")}, not {uuid}'
            )
