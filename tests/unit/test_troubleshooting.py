"""Every code of an error and of a finding says what to do about it."""

import inspect
import os
import re

import testtools

from kvm_tuning import loader, sphinxext
from kvm_tuning.core import exceptions
from kvm_tuning.core.assess.codes import CODES, PAGE
from kvm_tuning.core.audit.rules.remedies import BY_CODE, REMEDIES
from kvm_tuning.core.audit.rules.table import RULES, UNRULED
from kvm_tuning.core.exceptions import KvmTuningError

TOP = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def leaves():
    return [
        error
        for _name, error in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(error, KvmTuningError) and not error.__subclasses__()
    ]


class TestErrors(testtools.TestCase):
    def test_every_error_has_a_remedy(self):
        self.assertGreater(len(leaves()), 10)
        for error in leaves():
            self.assertNotEqual('', error.remedy, error)
        for base in KvmTuningError.__subclasses__():
            self.assertNotEqual('', base.seen, base)

    def test_every_error_is_drawn_once(self):
        drawn = list(sphinxext.error_remedies())
        for error in leaves():
            self.assertEqual(1, drawn.count(error.__name__), error)
            self.assertIn(f':What to do: {error.remedy}', drawn)


class TestFindings(testtools.TestCase):
    def documented(self):
        """The codes of the reference: first cells, and terms."""
        path = f'{TOP}/doc/source/reference/findings.rst'
        with open(path) as file:
            text = file.read().partition('Codes of promises')[2]
        text = text.partition('Rights\n')[0]
        lines = re.findall(r'^([a-z][a-z, -]*?)(?:  .*| ``.*)?$', text, re.M)
        return {
            code
            for line in lines
            for code in line.split(', ')
            if code != 'code'
        }

    def test_every_code_has_a_remedy(self):
        ruled = {rule.code for rule in (*RULES.values(), *UNRULED)}
        self.assertEqual(set(), ruled - BY_CODE.keys())
        self.assertEqual(self.documented(), set(BY_CODE))

    def test_no_code_has_two(self):
        self.assertEqual(
            len(BY_CODE), sum(len(each.codes) for each in REMEDIES)
        )


class TestAssessments(testtools.TestCase):
    def test_every_code_has_an_anchor_and_says_what_to_do(self):
        drawn = list(sphinxext.assessments())
        for code in CODES.values():
            self.assertEqual(1, drawn.count(f'.. _{code.name}:'), code.name)
            self.assertIn(f':What changes it: {code.knob}', drawn)
            self.assertEqual(f'{PAGE}#{code.name}', code.page)
        self.assertTrue(os.path.exists(f'{TOP}/doc/source/{PAGE}.rst'))

    def test_knobs_that_are_named_exist(self):
        known = {knob.name for hook in loader.load() for knob in hook.knobs}
        named = {
            word.partition('=')[0]
            for code in CODES.values()
            for word in re.findall(r'\b(?:kvm:|hw[:_])[\w:]+\b', code.knob)
        }
        self.assertGreater(len(named), 15)
        self.assertEqual(set(), named - known)
