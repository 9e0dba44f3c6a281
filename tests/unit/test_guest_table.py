"""The table of guest knobs, drawn from the scenarios and the audit's rules."""

import dataclasses

import testtools

from kvm_tuning import guest_table, loader, sphinxext
from kvm_tuning.core.effects import Element
from kvm_tuning.core.knobs import Flag, Knob
from kvm_tuning.guest_table import Row, Scenario
from kvm_tuning.hooks.base import Hook
from tests.fixtures import scenarios
from tests.fixtures.scenarios import described, recordings

PERFECT = Row(
    Knob('kvm:x', Flag(), 'X.'), 'x', ('cpu/x',), 1, 1, ('x-code',), ()
)


def lacking(**changes):
    return list(guest_table.missing([dataclasses.replace(PERFECT, **changes)]))


def knob(**fields):
    return Knob('kvm:x', Flag(), 'X.', **fields)


class MissingTest(testtools.TestCase):
    def test_nothing(self):
        self.assertEqual([], lacking())

    def test_a_scenario(self):
        self.assertIn('no scenario keeps', lacking(kept=0)[0])
        self.assertIn('no scenario refuses', lacking(refused=0)[0])

    def test_an_audit(self):
        self.assertIn('nothing says why not', lacking(audited=())[0])
        (line,) = lacking(unknown=('cpu/y',))
        self.assertIn('no rule audits cpu/y', line)

    def test_a_reason_stands_for_an_audit(self):
        because = knob(unaudited='nobody can')
        self.assertEqual([], lacking(audited=(), knob=because))
        self.assertEqual([], lacking(unknown=('cpu/y',), knob=because))

    def test_what_a_recorded_qemu_has_can_be_audited(self):
        because = knob(unaudited='nobody can')
        (line,) = lacking(audited=(), recorded=('cpu/y',), knob=because)
        self.assertIn('a recorded QEMU runs with cpu/y', line)

    def test_a_refusal_that_is_not_its_own(self):
        (line,) = lacking(refused=2, others=2)
        self.assertIn('no scenario refuses a valid value', line)
        self.assertEqual([], lacking(refused=2, others=1))

    def test_a_reason_stands_for_a_refusal_of_its_own(self):
        because = knob(never_refused='all will do')
        self.assertEqual([], lacking(others=1, knob=because))
        (line,) = lacking(knob=because)
        self.assertIn('a valid value is refused', line)

    def test_a_reason_beside_an_audit(self):
        (line,) = lacking(knob=knob(unaudited='nobody can'))
        self.assertIn('it is audited', line)

    def test_no_page_is_drawn_of_an_incomplete_table(self):
        row = dataclasses.replace(PERFECT, kept=0, audited=())
        error = self.assertRaises(
            sphinxext.GuestTableIncomplete, list, sphinxext.table([row])
        )
        self.assertIn('no scenario keeps', str(error))
        self.assertIn('nothing says why not', str(error))


class RowsTest(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        hooks = sphinxext.own(loader.load())
        rows = guest_table.rows(hooks, described(), recordings())
        cls.rows = {row.knob.name: row for row in rows}

    def test_every_knob_of_the_tree_has_a_row(self):
        hooks = sphinxext.own(loader.load())
        self.assertEqual(set(loader.knobs(hooks)), set(self.rows))

    def test_what_a_knob_becomes(self):
        row = self.rows['kvm:iothread_cpus']
        self.assertEqual(('cputune/iothreadpin/@cpuset',), row.becomes)
        self.assertEqual(('iothread-affinity',), row.audited)

    def test_a_setting(self):
        row = self.rows['kvm:vf_trust']
        self.assertEqual(('vf-attribute trust',), row.becomes)

    def test_a_profile_is_what_others_make_of_it(self):
        row = self.rows['kvm:profile']
        self.assertIn('devices/interface/driver/@name', row.becomes)
        self.assertIn('vif-backend', row.audited)

    def test_a_knob_without_scenarios(self):
        (hook,) = (h for h in loader.load() if h.name == 'page_sharing')
        (row,) = guest_table.rows([hook], [Scenario('kvm:page_sharing', None)])
        self.assertEqual((0, 1, ()), (row.kept, row.refused, row.becomes))

    def row_of(self, *effects, **fields):
        """Return the row of a knob whose hook wants ``effects``."""
        made = knob(unaudited='nobody can', **fields)

        class Made(Hook):
            name, knobs = 'made', (made,)

            def effects(self, request, guest, placement, site):
                return effects

        scenario = {'flavor': {}}
        plan = scenarios.plan_of(scenario)[1]
        described_ = Scenario('kvm:x', plan, None, scenarios.site_of(scenario))
        (row,) = guest_table.rows([Made()], [described_], recordings())
        return row

    def test_an_address_that_a_recording_has(self):
        row = self.row_of(Element('os/boot', {'dev': 'hd'}))
        self.assertEqual(('os/boot/@dev',), row.recorded)

    def test_an_address_that_no_recording_has(self):
        row = self.row_of(Element('os/smbios', {'mode': 'host'}))
        self.assertEqual((), row.recorded)
        row = self.row_of(Element('os/boot', {'order': '1'}))
        self.assertEqual((), row.recorded)

    def test_whose_reason_a_refusal_is(self):
        def own(knob, flavor):
            (found,) = scenarios.described_of(
                [{'knob': knob, 'flavor': flavor, 'error': []}]
            )
            return found.own

        self.assertTrue(own('kvm:vf_trust', {'kvm:vf_trust': 'true'}))
        # Malformed.
        self.assertFalse(own('kvm:vf_trust', {'kvm:vf_trust': 'perhaps'}))
        # Refused for what another knob asks.
        self.assertFalse(
            own('kvm:iothreads', {'kvm:iothreads': 1, 'kvm:vf_trust': 'true'})
        )

    def test_the_page(self):
        lines = list(sphinxext.table([PERFECT]))
        self.assertIn('   * - ``kvm:x``', lines)
        self.assertIn('     - :ref:`x <hook-x>`', lines)
        self.assertIn('     - ``cpu/x``', lines)
        self.assertIn('     - 1, 1', lines)
        self.assertEqual('     - ``x-code``', lines[-1])
        row = dataclasses.replace(
            PERFECT, knob=knob(unaudited='nobody can'), becomes=(), audited=()
        )
        *_, becomes, _, audited = sphinxext.table([row])
        self.assertEqual('     - nothing in the guest', becomes)
        self.assertEqual('     - not: nobody can', audited)
