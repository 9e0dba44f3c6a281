"""The node's igb ports and their VFs."""

from pathlib import Path
import subprocess

import fixtures

#: PCI addresses of the ports, by NUMA cell.
PORTS = ('0000:41:00.0', '0000:81:00.0')
DRIVER = Path('/sys/bus/pci/drivers/igb')
DEVICES = Path('/sys/bus/pci/devices')


def interface(address):
    """Return the name of a function's network interface."""
    (found,) = (DEVICES / address / 'net').iterdir()
    return found.name


def vfs(address):
    """Return the addresses of a port's VFs, by index."""
    links = (DEVICES / address).glob('virtfn*')
    return [
        link.resolve().name
        for link in sorted(links, key=lambda each: int(each.name[6:]))
    ]


def driver(address):
    """Return the driver that a function is bound to; None without one."""
    link = DEVICES / address / 'driver'
    return link.resolve().name if link.exists() else None


def make_vfs(address, count):
    """Give a port so many VFs."""
    file = DEVICES / address / 'sriov_numvfs'
    if file.read_text().strip() not in ('0', str(count)):
        file.write_text('0')
    file.write_text(str(count))


class Vfs(fixtures.Fixture):
    """Each port has ``count`` VFs, for as long as the test runs, and is up:
    libvirt asks a PF for a VF's MAC only then.
    """

    def __init__(self, count):
        super().__init__()
        self._count = count

    def _setUp(self):
        for address in PORTS:
            make_vfs(address, self._count)
            self.addCleanup(make_vfs, address, 0)
            subprocess.run(
                ['ip', 'link', 'set', interface(address), 'up'], check=True
            )
