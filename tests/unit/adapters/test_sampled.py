"""Findings that take two samples, from given samples."""

from dataclasses import replace

from kvm_tuning.adapters import assessment
from kvm_tuning.core.assess.case import Case, Host, Unseen
from kvm_tuning.core.assess.guest import Activity, Foreign
from kvm_tuning.core.assess.rules import sharing, threads
from kvm_tuning.core.observed import Kind
from tests.fixtures.assessed_guest import HOST, AssessedGuest
from tests.unit.adapters import test_assessment


class SampledTest(test_assessment.AssessmentTest):
    def case(self, guest, *foreign, moves=0):
        guest.write(self.root)
        how = assessment.How(self.root, walk=False)
        (found,) = assessment.assessment((), how, ()).guests
        activity = {
            each.tid: Activity(10**9, 0, moves)
            for each in found.guest.threads
            if each.kind is Kind.VCPU
        }
        sampled = replace(found.guest, activity=activity, seconds=2.0)
        return Case(sampled, Host(HOST.inventory(), [sampled], foreign))

    def floating(self, moves):
        guest = AssessedGuest(pins=test_assessment.FLOATING)
        return self.case(guest, moves=moves)

    def test_vcpus_that_moved(self):
        (finding,) = threads.moves(self.floating(3))
        self.assertEqual('vcpus-migrate', finding.code)
        self.assertIn('12 moves of 4 vCPUs in 2 s', finding.evidence)
        self.assertIn('3 of one vCPU', finding.evidence)

    def test_vcpus_that_did_not_move(self):
        self.assertEqual([], list(threads.moves(self.floating(0))))

    def test_moves_that_the_kernel_does_not_count(self):
        self.assertRaises(Unseen, list, threads.moves(self.floating(None)))

    def test_a_process_on_a_pinned_pcpu(self):
        there, elsewhere = Foreign(7, 'a', 16, 40), Foreign(8, 'b', 9, 90)
        case = self.case(AssessedGuest(), there, elsewhere)
        (finding,) = sharing.foreign(case)
        self.assertEqual('foreign-threads', finding.code)
        self.assertEqual('sampled: a (40 % of pCPU 16)', finding.evidence)
        self.assertEqual(frozenset({16}), finding.where.pcpus)
