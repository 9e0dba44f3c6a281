"""Lets Nova's fake libvirt tell where threads run, and move them.

As libvirt does: a running domain that is defined anew goes on running, and
what runs keeps the document that it was started with, with its pins of now.
"""

import fixtures
from lxml import etree
from nova.tests.fixtures import libvirt

_WIDTH = 16


class PinnedDomains(fixtures.Fixture):
    """Patches what :class:`tests.nova.domains.WholeDomains` has patched."""

    def _setUp(self):
        #: (uuid, vCPU, pCPU) in order.
        self.moves = []
        #: Called before each move, with its number.
        self.before_move = lambda number: None
        self.defined = 0
        this = self
        domain, connection = libvirt.Domain, libvirt.Connection

        def vcpus(found):
            pins = _pins(found._kept, 'vcpupin', 'vcpu')
            return (
                [(vcpu, 1, 0, min(cpus)) for vcpu, cpus in pins.items()],
                [_map(cpus) for cpus in pins.values()],
            )

        def pin_vcpu(found, vcpu, cpus, flags):
            this.before_move(len(this.moves))
            (cpu,) = (n for n, is_set in enumerate(cpus) if is_set)
            # The definition has the pins of before.
            found.__dict__.setdefault('_next', found._kept)
            this.moves.append((found.UUIDString(), vcpu, cpu))
            root = etree.fromstring(found._kept)
            pin = root.find(f"cputune/vcpupin[@vcpu='{vcpu}']")
            pin.set('cpuset', str(cpu))
            found._kept = etree.tostring(root, encoding='unicode')

        def emulator(found, flags):
            root = etree.fromstring(found._kept)
            pin = root.find('cputune/emulatorpin')
            return _map(_cpus(pin.get('cpuset')))

        def pin_emulator(found, cpus, flags):
            root = etree.fromstring(found._kept)
            text = ','.join(str(n) for n, is_set in enumerate(cpus) if is_set)
            root.find('cputune/emulatorpin').set('cpuset', text)
            found._kept = etree.tostring(root, encoding='unicode')

        def iothreads(found, flags):
            return []

        stock_desc = domain.XMLDesc

        def desc(found, flags):
            inactive = getattr(found, '_next', None)
            return (
                inactive
                if flags & 2 and inactive
                else stock_desc(found, flags)
            )

        stock_define = connection.defineXML

        def define(this_connection, xml):
            this.defined += 1
            name = etree.fromstring(xml).findtext('name')
            found = this_connection._vms.get(name)
            if found is None or not found.isActive():
                return stock_define(this_connection, xml)
            found._next = xml
            return found

        stock_list = connection.listAllDomains

        def all_domains(this_connection, flags=None):
            return stock_list(this_connection, flags or 3)

        def by_name(this_connection, name):
            found = this_connection._vms.get(name)
            if found is None:
                raise libvirt.libvirtError(f'no domain {name}')
            return found

        for what, name, value in (
            (domain, 'vcpus', vcpus),
            (domain, 'pinVcpuFlags', pin_vcpu),
            (domain, 'emulatorPinInfo', emulator),
            (domain, 'pinEmulator', pin_emulator),
            (domain, 'ioThreadInfo', iothreads),
            (domain, 'XMLDesc', desc),
            (connection, 'lookupByName', by_name),
            (connection, 'defineXML', define),
            (connection, 'listAllDomains', all_domains),
        ):
            missing = object()
            before = what.__dict__.get(name, missing)
            setattr(what, name, value)
            if before is missing:
                self.addCleanup(delattr, what, name)
            else:
                self.addCleanup(setattr, what, name, before)


def _pins(xml, tag, key):
    return {
        int(pin.get(key)): _cpus(pin.get('cpuset'))
        for pin in etree.fromstring(xml).iterfind(f'cputune/{tag}')
    }


def _cpus(text):
    found = set()
    for part in text.split(','):
        first, _, last = part.partition('-')
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _map(cpus):
    return tuple(cpu in cpus for cpu in range(_WIDTH))
