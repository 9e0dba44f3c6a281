"""A sample of the brute force: our fit is right where there is a place."""

from tests.nova import brute_force, test_fit


class BruteForceTest(test_fit.FitBase):
    def setUp(self):
        super().setUp()
        # The sample's hosts have L3 domains of their own.
        self.addCleanup(brute_force.packing.uninstall)

    def test_a_sample(self):
        counts, examples = brute_force.run(300, 2)
        self.assertEqual({}, examples)
        self.assertGreater(counts['has a place'], 50)
        self.assertGreater(300, counts['has a place'])

    def test_what_is_wrong_is_seen(self):
        core = frozenset({0, 1})
        host = brute_force.Host(
            (((core,), (frozenset({2, 3}),)),), core, (4096,)
        )
        guest = brute_force.Guest((2,), 'prefer', False, 256, False)
        brute_force.packing.install()
        judged = brute_force.judged
        self.assertIsNone(judged(host, guest, 1, 1))
        self.assertEqual('less compact', judged(host, guest, 0, 0))
        self.assertEqual('impossible', judged(host, guest, None, None))
        full = brute_force.Host(host.cells, core | {2, 3}, (4096,))
        self.assertEqual('false refusal', judged(full, guest, 1, 1))
