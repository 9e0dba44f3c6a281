"""The names that users' programs and files depend on are still there."""

from pathlib import Path

import fixtures
import testtools

from tests.fixtures import killed
from tests.fixtures.release import RELEASES
from tools.recordings import commands, compare, surface

#: What was changed on purpose: the line that :mod:`compare` yields, and why.
CHANGED: dict[str, str] = {
    "option [libvirt] lock_path default: '/run/lock/kvm-tuning' is "
    "'/run/kvm-tuning'": 'anybody may write in /run/lock',
}


class SurfaceTest(testtools.TestCase):
    def assert_none(self, found):
        self.assertEqual([], [line for line in found if line not in CHANGED])

    def test_names(self):
        now = surface.collect()
        for release in RELEASES.values():
            before = release.document('surface.yaml')
            self.assert_none(compare.surfaces(before, now))

    def test_statuses_and_keys(self):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        now = commands.collect(Path(root))
        for release in RELEASES.values():
            before = release.document('commands.yaml')
            self.assert_none(compare.runs(before, now))

    def test_changes_on_purpose_have_a_reason(self):
        for line, reason in CHANGED.items():
            self.assertGreater(len(reason.split()), 3, line)


class CompareTest(testtools.TestCase):
    """What is gone or takes less is found, and what is new is not."""

    def surface(self, **changes):
        option = {
            'type': {'name': 'Integer', 'min': 0, 'max': 10},
            'default': 3,
        }
        return {
            'finding codes': ['drift'],
            'journal kinds': ['sysfs'],
            'entry points': {'kvm_tuning.cli': ['host_plan']},
            'errors': {'Refused': {'status': 1}},
            'exit statuses': {'success': 0},
            'options': {'ksm': {'run': option}},
            'knobs': {'kvm:x': {'schema': {'enum': ['a', 'b']}}},
            **changes,
        }

    def test_nothing(self):
        found = compare.surfaces(self.surface(), self.surface())
        self.assertEqual([], list(found))

    def test_what_is_gone(self):
        for part, now in (
            ('finding codes', []),
            ('journal kinds', ['other']),
            ('entry points', {'kvm_tuning.cli': []}),
            ('errors', {}),
            ('errors', {'Refused': {'status': 3}}),
            ('exit statuses', {'success': 1}),
            ('options', {}),
            ('options', {'ksm': {}}),
            ('knobs', {}),
            ('knobs', {'kvm:x': {'schema': {'enum': ['a']}}}),
        ):
            found = compare.surfaces(
                self.surface(), self.surface(**{part: now})
            )
            self.assertEqual(1, len(list(found)), f'{part}: {now}')

    def option(self, default=3, **kind):
        return self.surface(
            options={
                'ksm': {
                    'run': {
                        'type': {'name': 'Integer', **kind},
                        'default': default,
                    }
                }
            }
        )

    def test_an_option_that_takes_less(self):
        for now in (
            self.option(4, min=0, max=10),
            self.option(min=1, max=10),
            self.option(min=0, max=9),
            self.option(min=0, max=10, choices=[1]),
        ):
            found = list(compare.surfaces(self.surface(), now))
            self.assertEqual(1, len(found), now)
            self.assertIn('option [ksm] run', found[0])

    def test_what_is_new_or_takes_more(self):
        for now in (
            self.option(min=0, max=11),
            self.option(),
            self.surface(**{'journal kinds': ['sysfs', 'sysctl']}),
            self.surface(
                knobs={
                    'kvm:x': {'schema': {'enum': ['a', 'b', 'c']}},
                    'kvm:y': {},
                }
            ),
        ):
            self.assertEqual([], list(compare.surfaces(self.surface(), now)))

    def test_runs(self):
        before = [{'command': 'x', 'status': 0, 'keys': {'a': {'b': None}}}]
        self.assertEqual([], list(compare.runs(before, before)))
        for change in (
            {'status': 1},
            {'code': 'Refused'},
            {'keys': {'a': None}},
            {'keys': {'a': {'c': None}}},
        ):
            now = [{**before[0], **change}]
            self.assertEqual(1, len(list(compare.runs(before, now))))
        more = [{**before[0], 'keys': {'a': {'b': None, 'c': None}}}]
        self.assertEqual([], list(compare.runs(before, more)))
