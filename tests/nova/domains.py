"""Lets Nova's fake libvirt keep what a domain is defined with.

Nova's own writes a domain's XML from the parts of it that Nova's tests need:
drivers' attributes and metadata are lost. Here a domain keeps its bytes, and
hot plug, metadata and pinning change them as libvirt would.
"""

import fixtures
from lxml import etree
from nova.tests.fixtures import libvirt

AFFECT_LIVE, AFFECT_CONFIG = 1, 2

# Where Nova's fake keeps a device.
_LISTS = {'disk': 'disks', 'interface': 'nics'}


class WholeDomains(fixtures.Fixture):
    """Patches Nova's fake libvirt; records what was defined."""

    def _setUp(self):
        #: Every XML that was defined or created, in order.
        self.defined = []
        #: (what, arguments) of calls that pin threads.
        self.pinned = []
        stock = libvirt.Domain
        self._init = stock.__init__
        this = self

        def init(domain, connection, xml, running=False, transient=False):
            this._init(domain, connection, xml, running, transient)
            domain._kept = xml
            this.defined.append(xml)

        def desc(domain, flags):
            return domain._kept

        stock_attach = stock.attachDeviceFlags
        stock_detach = stock.detachDeviceFlags

        def attach(domain, xml, flags):
            stock_attach(domain, xml, flags)
            root = etree.fromstring(domain._kept)
            device = etree.fromstring(xml)
            made = domain._def['devices'][_LISTS[device.tag]][-1]
            etree.SubElement(device, 'alias', name=made['alias'])
            root.find('devices').append(device)
            domain._kept = etree.tostring(root, encoding='unicode')
            this.attached.append(xml)

        def detach(domain, xml, flags):
            stock_detach(domain, xml, flags)
            root = etree.fromstring(domain._kept)
            gone = etree.fromstring(xml)
            devices = root.find('devices')
            for device in devices.iterchildren(gone.tag):
                if _name(device) == _name(gone):
                    devices.remove(device)
            domain._kept = etree.tostring(root, encoding='unicode')

        def set_metadata(domain, kind, xml, key, uri, flags=0):
            if key == 'instance':
                return
            root = etree.fromstring(domain._kept)
            metadata = root.find('metadata')
            for old in metadata.findall(f'{{{uri}}}*'):
                metadata.remove(old)
            if xml is not None:
                element = etree.fromstring(xml)
                if key in element.nsmap:
                    # xmlNewNs in virDomainDefSetMetadata
                    raise libvirt.libvirtError(
                        'internal error: failed to create a new XML namespace'
                    )
                metadata.append(element)
            domain._kept = etree.tostring(root, encoding='unicode')

        def pin(what):
            def record(domain, *args):
                this.pinned.append((what, args))

            return record

        self.attached = []
        for name, value in (
            ('__init__', init),
            ('XMLDesc', desc),
            ('attachDeviceFlags', attach),
            ('detachDeviceFlags', detach),
            ('setMetadata', set_metadata),
            ('pinVcpuFlags', pin('vcpu')),
            ('pinEmulator', pin('emulator')),
            ('pinIOThread', pin('iothread')),
        ):
            missing = object()
            before = stock.__dict__.get(name, missing)
            setattr(stock, name, value)
            if before is missing:
                self.addCleanup(delattr, stock, name)
            else:
                self.addCleanup(setattr, stock, name, before)


def _name(device):
    mac = device.find('mac')
    if mac is not None:
        return mac.get('address')
    target = device.find('target')
    return None if target is None else target.get('dev')
