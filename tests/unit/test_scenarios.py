"""Every scenario of tests/scenarios, and that every knob has one."""

import unittest

from lxml import etree
import testtools

from kvm_tuning import loader
from kvm_tuning.core import domain
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import KvmTuningError
from kvm_tuning.core.xml import paths
from tests.fixtures.scenarios import GUESTS, plan_of, scenarios


def settings_of(made):
    """Return the settings of a plan."""
    return [each for each in made.effects if isinstance(each, Setting)]


def tuned_of(scenario):
    """Return the tuned XML of a scenario."""
    return domain.tune(*plan_of(scenario))


def found(root, address):
    """Return what stands at ``path/attribute`` or ``path/text``; None for
    nothing, '' for an element that is merely there.
    """
    path, _, name = address.rpartition('/')
    elements = paths.find(root, address)
    if elements:
        return ''
    elements = paths.find(root, path) if path else []
    if not elements:
        return None
    if name == 'text':
        return elements[0].text
    return elements[0].get(name)


class ScenarioTest(testtools.TestCase):
    """One scenario."""

    def __init__(self, scenario):
        super().__init__('runTest')
        self.scenario = scenario

    def id(self):
        where = f'{type(self).__module__}.{self.scenario["file"]}'
        return f'{where}.{self.scenario["name"].replace(" ", "_")}'

    def runTest(self):
        scenario = self.scenario
        if 'error' in scenario:
            self._refused()
            return
        which, made = plan_of(scenario)
        tuned = domain.read(domain.tune(which, made))
        for address, value in scenario.get('holds', {}).items():
            value = None if value is None else str(value)
            self.assertEqual(value, found(tuned.root, address), address)
        self.assertEqual(
            scenario.get('unkept', []),
            [each.knob.partition('=')[0] for each in made.unkept],
        )
        codes = {each.code for each in made.consequences}
        self.assertEqual(
            set(), set(scenario.get('consequences', ())) - codes, codes
        )
        self.assertEqual(set(), set(scenario.get('without', ())) & codes)
        settings = {f'{s.kind}/{s.name}': s.value for s in settings_of(made)}
        for address, value in scenario.get('settings', {}).items():
            self.assertEqual(str(value), settings.get(address), address)
        if 'devices' in scenario:
            self.assertEqual(set(scenario['devices']), made.claim.devices)
        self._laws(which, made, tuned)

    def _refused(self):
        code, *words = self.scenario['error']
        error = self.assertRaises(KvmTuningError, tuned_of, self.scenario)
        codes = [e.code for e in getattr(error, 'errors', [error])]
        self.assertIn(code, codes, str(error))
        for word in words:
            self.assertIn(word, str(error))
        self.assertNotIn('object at 0x', str(error))

    def _laws(self, which, made, tuned):
        """What holds of every plan of every hook."""
        again = domain.tune(tuned, plan_of(self.scenario)[1])
        self.assertEqual(tuned.xml, again, 'tuned twice')
        self.assertEqual(which.xml, domain.undo(tuned), 'undone')
        self.assertEqual(made, plan_of(self.scenario)[1], 'planned twice')
        for each in made.consequences:
            self.assertIn(each.audience, ('operator', 'tenant'), each.code)
            self.assertRegex(each.code, '^[a-z]+(-[a-z0-9]+)*$')
        for promise in tuned.receipt.promises if tuned.receipt else ():
            elements = paths.find(tuned.root, promise.path)
            if hasattr(promise, 'removed'):
                self.assertEqual([], elements, promise.path)
                continue
            for name, wanted in promise.wanted.items():
                now = (
                    elements[0].text
                    if name == '#text'
                    else elements[0].get(name)
                )
                self.assertEqual(wanted, now, promise.path)


class CoverageTest(testtools.TestCase):
    """Every knob has its scenarios."""

    def test_names_are_unique(self):
        names = [(each['file'], each['name']) for each in scenarios()]
        self.assertEqual(len(set(names)), len(names))

    def test_every_knob_is_kept_and_refused_somewhere(self):
        knobs = loader.knobs(loader.load())
        kept, refused = set(), set()
        for each in scenarios():
            self.assertIn(each['knob'], knobs, each['name'])
            (refused if 'error' in each else kept).add(each['knob'])
        self.assertEqual(set(), set(knobs) - kept, 'never kept')
        self.assertEqual(set(), set(knobs) - refused, 'never refused')

    def test_what_a_knob_does_is_gone_when_it_is_not_asked(self):
        """The expectations of one kept scenario of each knob must fail
        without the knob, or else they say nothing of it.
        """
        proven = set()
        for each in scenarios():
            if 'error' in each or each['knob'] in proven:
                continue
            try:
                which, made = plan_of(each, without=each['knob'])
            except KvmTuningError:
                proven.add(each['knob'])
                continue
            root = etree.fromstring(domain.tune(which, made))
            codes = {c.code for c in made.consequences}
            if any(
                (None if value is None else str(value)) != found(root, address)
                for address, value in each.get('holds', {}).items()
            ) or not codes.issuperset(each.get('consequences', ())):
                proven.add(each['knob'])
            whole = plan_of(each)[1]
            if (made.demands, settings_of(made)) != (
                whole.demands,
                settings_of(whole),
            ):
                proven.add(each['knob'])
        self.assertEqual(set(), set(loader.knobs(loader.load())) - proven)

    def test_nothing_asked_changes_nothing(self):
        for path in GUESTS.glob('*.xml'):
            xml = path.read_text()
            which, made = plan_of({'guest': path.stem})
            self.assertEqual((), made.effects)
            self.assertIs(which.xml, domain.tune(which, made))
            self.assertEqual(xml, which.xml)


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite(
        loader.loadTestsFromTestCase(CoverageTest)._tests
    )
    suite.addTests(ScenarioTest(each) for each in scenarios())
    return suite
