"""Audits of what is promised beside the document, and of host devices."""

from dataclasses import replace

import testtools

from kvm_tuning.core import domain, drift
from kvm_tuning.core.audit import compare
from kvm_tuning.core.audit.finding import Severity
from kvm_tuning.core.audit.rules import settings, table
from kvm_tuning.core.effects import Absent, Phase, Scope, Setting
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.observed import (
    Arguments,
    Function,
    Kind,
    Memory,
    Nic,
    Observed,
    Ram,
    Thread,
    Unknown,
)
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.promises import NIC, promise, receipt
from tests.unit.test_scenarios import plan_of, scenarios

HIDDEN = Unknown('hidden')
PF = '0000:41:00.0'
VF = '0000:41:10.6'
FIRST, SECOND = '52:54:00:00:00:01', '52:54:00:00:00:02'
XML = f"""<domain type='kvm'><name>a</name><memory>1024</memory><vcpu>1</vcpu>
<devices>
  <interface type='hostdev' managed='yes'><mac address='{FIRST}'/>
    <source><address type='pci' domain='0x0000' bus='0x41' slot='0x10'
      function='0x6'/></source><vlan><tag id='42'/></vlan></interface>
  <interface type='direct'><mac address='{SECOND}'/>
    <source dev='eth1' mode='bridge'/><target dev='macvtap0'/></interface>
</devices></domain>"""
RAM = Ram('ram', None, 1 << 20, 4, 1 << 20, 1 << 19, 0, False, '', {})
OBSERVED = Observed(
    pid=90,
    threads=(
        Thread(90, 'qemu', Kind.EMULATOR, None, frozenset({0, 1})),
        Thread(91, 'vhost-90', Kind.VHOST, None, frozenset({1})),
        Thread(92, 'vhost-90', Kind.VHOST, None, frozenset({1})),
    ),
    memory=Memory((RAM,), HIDDEN),
    nics={
        SECOND: Nic(
            SECOND, 'virtio-net-pci', 'macvtap0', 1, 1, 256, 256,
            mode='bridge', lower='eth1',
        ),
    },
    arguments=Arguments((
        ('device', {'driver': 'vfio-pci', 'host': VF, 'id': 'hostdev0'}),
    )),
    functions={
        VF: Function(
            VF, 'vfio-pci', PF, 3,
            {'mac': FIRST, 'vlan': '42', 'trust': '1', 'spoof_check': '1'},
        ),
    },
    transparent_huge_pages='madvise',
)  # fmt: skip


def setting(kind, name, value, scope=Scope.INSTANCE):
    return Setting(kind, name, value, scope, Phase.AFTER_START)


class AuditTest(testtools.TestCase):
    def audit(self, *promises, observed=OBSERVED, settings=()):
        found = compare.compare(
            domain.read(XML),
            receipt(*promises, settings=tuple(settings)),
            observed,
            FakeHost(cells=1).inventory(),
            Ledger(),
        )
        return {
            each.address: (each.severity, each.found, each.why)
            for each in found
        }

    def setting(self, kind, name, value, observed=OBSERVED):
        found = self.audit(
            observed=observed, settings=[setting(kind, name, value)]
        )
        return found[f'{kind}/{name}'][:2]

    def function(self, **changes):
        function = replace(OBSERVED.functions[VF], **changes)
        return replace(OBSERVED, functions={VF: function})


class SettingsTest(AuditTest):
    def test_vhost_threads(self):
        def vhost(value, threads=OBSERVED.threads):
            observed = replace(OBSERVED, threads=threads)
            return self.setting('thread-affinity', 'vhost', value, observed)

        self.assertEqual((Severity.OK, '1'), vhost('1'))
        self.assertEqual(
            (Severity.ERROR, '1 (thread 91), 1 (thread 92)'), vhost('2')
        )
        self.assertEqual(
            (Severity.ERROR, 'no vhost threads'),
            vhost('1', OBSERVED.threads[:1]),
        )
        hidden = (replace(OBSERVED.threads[1], cpus=HIDDEN),)
        self.assertEqual(Severity.UNKNOWN, vhost('1', hidden)[0])
        self.assertEqual(Severity.UNKNOWN, vhost('1', HIDDEN)[0])
        self.assertEqual(Severity.UNKNOWN, vhost('x')[0])

    def test_attributes_of_a_vf(self):
        def vf(name, value, observed=OBSERVED):
            address = f'{PF}/3/{name}'
            return self.setting('vf-attribute', address, value, observed)

        self.assertEqual((Severity.OK, '1'), vf('trust', '1'))
        self.assertEqual((Severity.ERROR, '1'), vf('spoof_check', '0'))
        self.assertEqual(Severity.UNKNOWN, vf('max_rate', '500')[0])
        hidden = self.function(attributes=HIDDEN)
        self.assertEqual(Severity.UNKNOWN, vf('trust', '1', hidden)[0])
        none = replace(OBSERVED, functions={})
        self.assertEqual(
            (Severity.ERROR, 'no such VF'), vf('trust', '1', none)
        )
        for name in ('x', 'a/b/c', f'{PF}/3'):
            found = self.setting('vf-attribute', name, '1')
            self.assertIn(found[0], (Severity.UNKNOWN, Severity.ERROR))

    def test_transparent_huge_pages(self):
        def mode(value, **changes):
            return self.setting(
                'host-mode',
                'transparent_hugepage/enabled',
                value,
                replace(OBSERVED, **changes),
            )

        self.assertEqual((Severity.OK, 'madvise'), mode('always madvise'))
        self.assertEqual((Severity.ERROR, 'madvise'), mode('never'))
        small = Memory((replace(RAM, anon_huge_kib=0),), HIDDEN)
        self.assertEqual(
            (Severity.WARNING, 'madvise, and 0 of 1024 MiB of its RAM'),
            mode('always madvise', memory=small),
        )
        self.assertEqual(
            Severity.WARNING,
            mode('never', transparent_huge_pages='never')[0],
        )
        self.assertEqual(
            Severity.OK,
            mode('never', transparent_huge_pages='never', memory=small)[0],
        )
        self.assertEqual(
            Severity.OK,
            mode('always madvise', memory=Memory(HIDDEN, HIDDEN))[0],
        )
        self.assertEqual(
            Severity.UNKNOWN, mode('never', transparent_huge_pages=HIDDEN)[0]
        )

    def test_what_only_the_guest_knows(self):
        found = self.audit(settings=[setting('guest', 'irqbalance', 'on')])
        severity, _found, why = found['guest/irqbalance']
        self.assertEqual(Severity.UNKNOWN, severity)
        self.assertIn('only the guest', why)


class DevicesTest(AuditTest):
    hostdev = NIC.format(FIRST)
    direct = NIC.format(SECOND)

    def state(self, path, observed=OBSERVED, **wanted):
        found = self.audit(promise(path, **wanted), observed=observed)
        name = next(iter(wanted), '')
        return found[f'{path}/@{name}' if name else path][:2]

    def test_a_function_of_the_host(self):
        def bus(observed=OBSERVED, wanted='0x41'):
            path = f'{self.hostdev}/source/address'
            return self.state(path, observed, bus=wanted)

        self.assertEqual((Severity.OK, '0x41'), bus())
        self.assertEqual(Severity.ERROR, bus(wanted='0x42')[0])
        self.assertEqual(
            (Severity.ERROR, f'{VF} is bound to igbvf'),
            bus(self.function(driver='igbvf')),
        )
        plugged = replace(OBSERVED, arguments=Arguments())
        self.assertEqual(Severity.UNKNOWN, bus(plugged)[0])
        unseen = replace(OBSERVED, functions={})
        self.assertEqual(Severity.UNKNOWN, bus(unseen)[0])

    def test_the_mac_of_a_vf(self):
        def kind(observed=OBSERVED):
            return self.state(self.hostdev, observed, type='hostdev')

        self.assertEqual((Severity.OK, 'hostdev'), kind())
        self.assertEqual(
            (Severity.ERROR, 'a VF with the MAC 52:54:00:00:00:07'),
            kind(self.function(attributes={'mac': '52:54:00:00:00:07'})),
        )
        hidden = self.function(attributes=HIDDEN)
        self.assertEqual(Severity.UNKNOWN, kind(hidden)[0])

    def test_the_vlan_of_a_vf(self):
        def vlan(observed=OBSERVED):
            path = f"{self.hostdev}/vlan/tag[@id='42']"
            return self.state(path, observed)

        self.assertEqual((Severity.OK, 'present'), vlan())
        other = {'mac': FIRST, 'vlan': '0'}
        self.assertEqual(
            (Severity.ERROR, 'VLAN 0'), vlan(self.function(attributes=other))
        )
        self.assertEqual(
            Severity.UNKNOWN, vlan(self.function(attributes=HIDDEN))[0]
        )

    def test_a_macvtap(self):
        def nic(observed=OBSERVED, **wanted):
            path = self.direct if 'type' in wanted else f'{self.direct}/source'
            return self.state(path, observed, **wanted)

        self.assertEqual((Severity.OK, 'direct'), nic(type='direct'))
        self.assertEqual((Severity.OK, 'bridge'), nic(mode='bridge'))
        self.assertEqual((Severity.OK, 'eth1'), nic(dev='eth1'))
        self.assertEqual((Severity.ERROR, 'bridge'), nic(mode='vepa'))
        other = replace(OBSERVED.nics[SECOND], mode='private', lower='eth2')
        moved = replace(OBSERVED, nics={SECOND: other})
        for wanted in ({'mode': 'bridge'}, {'dev': 'eth1'}):
            self.assertEqual(Severity.ERROR, nic(moved, **wanted)[0])
        unseen = replace(OBSERVED, nics={})
        for wanted in (
            {'mode': 'bridge'},
            {'dev': 'eth1'},
            {'type': 'direct'},
        ):
            self.assertEqual(Severity.UNKNOWN, nic(unseen, **wanted)[0])

    def test_what_is_not_seen_says_why(self):
        """Nothing of this is wrong, and nothing of it is right."""
        address = f'{self.hostdev}/source/address'
        vlan = f"{self.hostdev}/vlan/tag[@id='42']"
        for path, observed, words, wanted in (
            (
                self.direct,
                replace(OBSERVED, nics={}),
                f'the guest no longer has NIC {SECOND}',
                {'type': 'direct'},
            ),
            (
                self.direct,
                replace(
                    OBSERVED,
                    nics={SECOND: replace(OBSERVED.nics[SECOND], mode=HIDDEN)},
                ),
                'hidden',
                {'type': 'direct'},
            ),
            (
                address,
                replace(OBSERVED, functions={}),
                f'{VF} was not examined',
                {'bus': '0x41'},
            ),
            (
                address,
                replace(OBSERVED, arguments=HIDDEN),
                'hidden',
                {'bus': '0x41'},
            ),
            (
                address,
                replace(OBSERVED, arguments=Arguments()),
                f'QEMU was started without {VF}: it was plugged later',
                {'bus': '0x41'},
            ),
            (
                self.hostdev,
                replace(OBSERVED, functions={}),
                f'{VF} was not examined',
                {'type': 'hostdev'},
            ),
            (vlan, replace(OBSERVED, functions={}), 'not examined', {}),
            (
                vlan,
                self.function(attributes={'mac': FIRST}),
                "the PF's driver does not report VLANs",
                {},
            ),
        ):
            found = self.audit(promise(path, **wanted), observed=observed)
            name = next(iter(wanted), '')
            severity, _found, why = found[f'{path}/@{name}' if name else path]
            self.assertEqual(Severity.UNKNOWN, severity, path)
            self.assertIn(words, why)

    def test_the_vlan_of_a_vf_below_a_macvtap(self):
        xml = XML.replace(
            "mode='bridge'/>", "mode='bridge'/><vlan><tag id='7'/></vlan>"
        )

        def vlan(attributes):
            vf = Function(VF, 'igbvf', PF, 3, attributes)
            found = compare.compare(
                domain.read(xml),
                receipt(promise(f"{self.direct}/vlan/tag[@id='7']")),
                replace(OBSERVED, functions={VF: vf}),
                FakeHost(cells=1).inventory(),
                Ledger(),
            )
            return found[0].severity, found[0].found, found[0].why

        self.assertEqual(
            (Severity.OK, 'present'), vlan({'mac': SECOND, 'vlan': '7'})[:2]
        )
        self.assertEqual(
            (Severity.ERROR, 'VLAN 8'), vlan({'mac': SECOND, 'vlan': '8'})[:2]
        )
        for attributes in ({'mac': FIRST, 'vlan': '7'}, HIDDEN):
            severity, _found, why = vlan(attributes)
            self.assertEqual(Severity.UNKNOWN, severity)
            self.assertIn(f'no VF of the guest has the MAC {SECOND}', why)


class CoverageTest(testtools.TestCase):
    def test_a_rule_for_all_that_any_hook_promises(self):
        unaudited = set()
        for scenario in scenarios():
            if 'error' in scenario:
                continue
            _domain, made = plan_of(scenario)
            for effect in made.effects:
                unaudited |= set(self.unaudited(effect))
        self.assertEqual(set(), unaudited)

    def unaudited(self, effect):
        if isinstance(effect, Setting):
            if effect.kind not in settings.RULES:
                yield effect.kind
            return
        path, names = drift.plain(effect.path), ['']
        if not isinstance(effect, Absent):
            text = [] if effect.text is None else ['#text']
            # A unit is audited with the size beside it.
            names = [n for n in effect.attributes if n != 'unit'] + text
            names = names or ['']
        for name in names:
            if (path, name) not in table.RULES:
                yield path, name
