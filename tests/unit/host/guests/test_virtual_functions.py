"""Requests to the kernel are as it takes them, its answers are read."""

import errno
import os

import fixtures
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.requests.link import LinkIPRouteFilter
import testtools

from kvm_tuning.host.guests import virtual_functions


def message(*infos):
    """Return a link as the kernel tells it, sent and received."""
    raw = ifinfmsg()
    raw['index'] = 5
    listed = [('IFLA_VF_INFO', {'attrs': list(info)}) for info in infos]
    raw['attrs'] = [('IFLA_VFINFO_LIST', {'attrs': listed})]
    raw.encode()
    found = ifinfmsg(raw.data)
    found.decode()
    return found


def info(index, trust=0):
    return (
        ('IFLA_VF_MAC', {'vf': index, 'mac': '52:54:00:00:00:0a'}),
        ('IFLA_VF_VLAN', {'vf': index, 'vlan': 42, 'qos': 0}),
        (
            'IFLA_VF_RATE',
            {'vf': index, 'min_tx_rate': 7, 'max_tx_rate': 500},
        ),
        ('IFLA_VF_SPOOFCHK', {'vf': index, 'spoofchk': 1}),
        ('IFLA_VF_TRUST', {'vf': index, 'trust': trust}),
    )


class NetlinkTest(testtools.TestCase):
    def test_an_answer(self):
        link = message(info(0), info(3))
        self.assertEqual(
            {
                'mac': '52:54:00:00:00:0a',
                'vlan': '42',
                'max_rate': '500',
                'min_rate': '7',
                'spoof_check': '1',
                'trust': '0',
            },
            virtual_functions._vf(link, 3),
        )
        self.assertIsNone(virtual_functions._vf(link, 1))

    def test_what_a_driver_does_not_know_is_left_out(self):
        found = virtual_functions._vf(message(info(0, 0xFFFFFFFF)), 0)
        self.assertNotIn('trust', found)

    def test_a_link_without_vfs(self):
        raw = ifinfmsg()
        raw['attrs'] = []
        raw.encode()
        found = ifinfmsg(raw.data)
        found.decode()
        self.assertIsNone(virtual_functions._vf(found, 0))

    def test_a_request_says_what_is_then_read(self):
        for name, value in (
            ('vlan', 17),
            ('trust', 1),
            ('spoof_check', 0),
            ('max_rate', 900),
        ):
            make = virtual_functions.WRITTEN[name]
            request = {'vf': 3, **make(value, {'min_rate': '7'})}
            listed = LinkIPRouteFilter('set').get_vf(request)
            raw = ifinfmsg()
            raw['attrs'] = [('IFLA_VFINFO_LIST', listed)]
            raw.encode()
            link = ifinfmsg(raw.data)
            link.decode()
            found = virtual_functions._vf(link, 3)
            self.assertEqual(str(value), found.pop(name))
            self.assertIn(found, ({}, {'min_rate': '7'}))


class InterfaceTest(testtools.TestCase):
    def test_the_pf_s_own_and_no_representor(self):
        root = self.useFixture(fixtures.TempDir()).path
        base = f'{root}/sys/bus/pci/devices/0000:41:00.0/net'
        for name, port in (('eth0', 'pf0vf0'), ('eth1', 'p0'), ('eth2', '')):
            os.makedirs(f'{base}/{name}')
            if port:
                with open(f'{base}/{name}/phys_port_name', 'w') as file:
                    file.write(f'{port}\n')
        self.assertEqual(
            'eth1', virtual_functions.interface('0000:41:00.0', root)
        )
        self.assertIsNone(virtual_functions.interface('0000:42:00.0', root))

    def test_no_address_is_refused(self):
        for text in ('../../x', '', 'eth0', '0000:41:00.0/../..'):
            error = self.assertRaises(
                OSError, virtual_functions.interface, text
            )
            self.assertEqual(errno.EINVAL, error.errno)

    def test_nothing_else_is_written(self):
        for name, value in (('mac', '1'), ('trust', 'on'), ('vlan', '-1')):
            error = self.assertRaises(
                OSError,
                virtual_functions.write,
                '0000:41:00.0',
                0,
                name,
                value,
            )
            self.assertEqual(errno.EINVAL, error.errno)
        error = self.assertRaises(
            OSError, virtual_functions.write, 'ffff:ff:1f.7', 0, 'trust', '1'
        )
        self.assertEqual(errno.ENODEV, error.errno)


class Route:
    """The kernel of pyroute2: one link, and what it is asked to set."""

    class NetlinkError(Exception):
        def __init__(self, code):
            super().__init__(code)
            self.code = code

    def __init__(self, link=None, refuses=0):
        self.link_ = link
        self.refuses = refuses
        self.asked = []

    def IPRoute(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def link(self, verb, **arguments):
        self.asked.append((verb, arguments))
        if self.refuses:
            raise self.NetlinkError(self.refuses)
        return [self.link_]


class CallTest(testtools.TestCase):
    PF = '0000:41:00.0'

    def kernel(self, link, interface='eth1', **more):
        route = Route(link, **more)
        for name, value in (
            ('sys.modules', {'pyroute2': route}),
            (
                'kvm_tuning.host.guests.virtual_functions.interface',
                lambda _pf: interface,
            ),
            (
                'kvm_tuning.host.guests.virtual_functions._index',
                lambda name: {'eth1': 5}[name],
            ),
        ):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        return route

    def test_what_a_vf_has(self):
        route = self.kernel(message(info(3)))
        found = virtual_functions.read(self.PF, 3)
        self.assertEqual('42', found['vlan'])
        self.assertIsNone(virtual_functions.read(self.PF, 4))
        # RTEXT_FILTER_VF (linux/rtnetlink.h)
        asked = ('get', {'ifname': 'eth1', 'ext_mask': 1})
        self.assertEqual([asked, asked], route.asked)

    def test_without_an_interface_there_is_nothing(self):
        route = self.kernel(None, interface=None)
        self.assertIsNone(virtual_functions.read(self.PF, 3))
        error = self.assertRaises(
            OSError, virtual_functions.write, self.PF, 3, 'vlan', '1'
        )
        self.assertEqual(errno.ENODEV, error.errno)
        self.assertEqual([], route.asked)

    def test_a_vf_that_is_not_there_is_not_set(self):
        route = self.kernel(message(info(3)))
        error = self.assertRaises(
            OSError, virtual_functions.write, self.PF, 4, 'vlan', '1'
        )
        self.assertEqual(errno.ENODEV, error.errno)
        self.assertIn(f'{self.PF} has no VF 4', str(error))
        self.assertEqual(['get'], [verb for verb, _more in route.asked])

    def test_an_attribute_is_set(self):
        route = self.kernel(message(info(3)))
        virtual_functions.write(self.PF, 3, 'max_rate', '900')
        verb, arguments = route.asked[-1]
        self.assertEqual('set', verb)
        self.assertEqual(5, arguments['index'])
        self.assertEqual(3, arguments['vf']['vf'])
        self.assertEqual(
            {'vf': 3, **virtual_functions.WRITTEN['max_rate'](
                900, {'min_rate': '7'}
            )},
            arguments['vf'],
        )  # fmt: skip

    def test_a_refusal_of_the_kernel(self):
        self.kernel(None, refuses=errno.EPERM)
        error = self.assertRaises(OSError, virtual_functions.read, self.PF, 3)
        self.assertEqual(errno.EPERM, error.errno)

    def test_macvtaps(self):
        def link(kind, mode):
            data = [('IFLA_MACVTAP_MODE', mode)] if mode else None
            attrs = [('IFLA_INFO_KIND', kind)]
            if data is not None:
                attrs.append(('IFLA_INFO_DATA', {'attrs': data}))
            return {'attrs': [('IFLA_LINKINFO', {'attrs': attrs})]}

        for answer, mode in (
            (link('macvtap', 'bridge'), 'bridge'),
            (link('macvtap', 'passthru'), 'passthrough'),
            (link('macvtap', None), None),
            (link('vlan', 'bridge'), None),
            ({'attrs': []}, None),
        ):
            self.kernel(answer)
            self.assertEqual(mode, virtual_functions.macvtap_mode('x'))
