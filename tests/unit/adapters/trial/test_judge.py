import contextlib
import os

import fixtures
import testtools

from kvm_tuning.adapters.trial.instance import Answer, Unavailable
from kvm_tuning.adapters.trial.judge import Judge, of_host
from kvm_tuning.core import domain

XML = "<domain type='kvm'><name>g</name><vcpu>2</vcpu><devices/></domain>"
TUNED = XML.replace('<devices/>', '<iothreads>1</iothreads><devices/>')


class FakeInstance:
    """A libvirt that answers by document."""

    version = (9, 0, 0)

    def __init__(self, answers, asked):
        self.answers = answers
        self.asked = asked
        self.alive = True

    def define(self, xml):
        self.asked.append(xml)
        answer = self.answers.get(xml) or Answer(xml)
        self.alive = not answer.died
        return answer


class JudgeTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.answers, self.asked, self.starts = {}, [], 0
        self.judge = Judge(start=self.start)
        self.addCleanup(self.judge.close)

    @contextlib.contextmanager
    def start(self):
        self.starts += 1
        yield FakeInstance(self.answers, self.asked)

    def verdict(self, tuned=TUNED, before=XML):
        return self.judge.judge(domain.read(before), tuned)

    def test_what_libvirt_keeps_is_taken(self):
        verdict = self.verdict()
        self.assertEqual(('', ''), (verdict.refused, verdict.not_judged))
        self.assertEqual([XML, TUNED], self.asked)

    def test_its_refusal_is_one(self):
        self.answers[TUNED] = Answer(None, 'no iothreads here')
        self.assertEqual('no iothreads here', self.verdict().refused)

    def test_what_it_leaves_out_is_a_refusal(self):
        self.answers[TUNED] = Answer(XML)
        self.assertEqual(
            'it would not keep iothreads (wanted present, found absent)',
            self.verdict().refused,
        )

    def test_what_it_leaves_out_of_the_domain_as_it_is_is_none(self):
        other = XML.replace('<vcpu>', '<title>t</title><vcpu>')
        tuned = TUNED.replace('<vcpu>', '<title>t</title><vcpu>')
        self.answers[other] = Answer(XML)
        self.answers[tuned] = Answer(TUNED)
        self.assertEqual('', self.verdict(tuned, other).refused)

    def test_a_death_is_a_refusal_and_the_next_one_is_started(self):
        self.answers[TUNED] = Answer(None, 'libvirt died', died=True)
        self.assertEqual('libvirt died', self.verdict().refused)
        other = TUNED.replace('>1<', '>2<')
        self.assertEqual('', self.verdict(other).refused)
        # The first, a fresh one for the document that it died of, the next.
        self.assertEqual(3, self.starts)

    def test_a_death_of_an_earlier_document_is_not_of_this_one(self):
        self.verdict()
        other = TUNED.replace('>1<', '>2<')
        self.answers[other] = Answer(None, 'libvirt died', died=True)
        before = self.starts
        self.assertEqual('libvirt died', self.verdict(other).refused)
        self.assertEqual(before + 1, self.starts)
        self.assertEqual(2, self.asked.count(other))

    def test_each_document_is_asked_once(self):
        self.verdict()
        self.verdict()
        self.assertEqual(2, len(self.asked))

    def test_a_domain_that_is_refused_as_it_is(self):
        self.answers[XML] = Answer(None, 'no KVM')
        self.answers[TUNED] = Answer(None, 'no KVM')
        self.assertIn('no KVM', self.verdict().not_judged)
        self.judge.strict = True
        self.assertEqual('no KVM', self.verdict().refused)

    def test_another_version_does_not_judge(self):
        self.judge.version = (8, 0, 0)
        verdict = self.verdict()
        self.assertIn('9.0.0', verdict.not_judged)
        self.assertIn('8.0.0', verdict.not_judged)
        self.assertEqual([], self.asked)

    def test_none_that_can_be_started(self):
        def start():
            raise Unavailable('no driver')

        judge = Judge(start=start)
        verdict = judge.judge(domain.read(XML), TUNED)
        self.assertIn('no driver', verdict.not_judged)

    def test_a_remote_one_is_not_of_this_host(self):
        for uri, local in (
            ('qemu:///system', True),
            ('qemu+unix:///system?socket=/run/x', True),
            ('qemu+ssh://host/system', False),
            ('test:///default', False),
        ):
            with of_host(uri, None) as judge:
                self.assertEqual(local, not judge.missing, uri)

    def test_a_program_that_a_stranger_can_write_is_not_started(self):
        path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'qemu-system-x86_64'
        )
        with open(path, 'w') as file:
            file.write('#!/bin/sh\n')
        os.chmod(path, 0o757)
        emulator = f'<devices><emulator>{path}</emulator></devices>'
        before = XML.replace('<devices/>', emulator)
        verdict = self.verdict(TUNED.replace('<devices/>', emulator), before)
        self.assertIn(path, verdict.not_judged)
        self.assertEqual([], self.asked)

    def test_a_program_of_another_kind_is_not_started(self):
        emulator = '<devices><emulator>/bin/sh</emulator></devices>'
        before = XML.replace('<devices/>', emulator)
        verdict = self.verdict(TUNED.replace('<devices/>', emulator), before)
        self.assertIn('/bin/sh', verdict.not_judged)
