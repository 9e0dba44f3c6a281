"""Every knob is asked of a server in a real cloud, or is about devices."""

import testtools

from kvm_tuning import loader
from kvm_tuning.core.knobs import Flag, Knob
from tests.cloud import coverage


class CoverageTest(testtools.TestCase):
    def test_every_knob(self):
        for knob in coverage.rest():
            if coverage.scenario_of(knob) is None:
                self.fail(
                    f'{knob.name}: tests/cloud does not ask it of a server, '
                    f'and no scenario that keeps it is of any guest and host'
                )

    def test_a_knob_of_no_scenario(self):
        self.assertIsNone(coverage.scenario_of(Knob('kvm:x', Flag(), 'X.')))

    def test_what_is_about_devices_is_not_asked_and_nothing_else(self):
        named = coverage.asked()
        for knob in loader.knobs(loader.load()).values():
            if knob.name in named:
                self.assertFalse(knob.of_device, knob.name)
