"""What a host reports of its preferences, and what a flavor makes of it."""

import testtools

from kvm_tuning.adapters.nova.fit import context
from kvm_tuning.adapters.nova.scheduling import stats
from kvm_tuning.core.demands import Locality, LocalityDemand

DOMAINS = (frozenset(range(4)), frozenset(range(4, 8)))
PROFILES = {
    'near': {'kvm:cpu_locality': ' l3 ', 'kvm:iothreads': '1'},
    'far': {'kvm:cpu_locality': 'any'},
    'firm': {'kvm:cpu_locality_policy': 'strict'},
    'other': {'kvm:iothreads': '1'},
}
DEFAULTS = {'kvm:cpu_locality': 'numa', 'kvm:disk_io': 'native'}
FROM_HOST = LocalityDemand(
    Locality.NUMA, False, 'kvm:cpu_locality=numa (default of the host)'
)


class ReportTest(testtools.TestCase):
    def read(self, profiles=PROFILES, defaults=DEFAULTS):
        """Return what a scheduler reads from a host's report."""
        preferred = context.preferences(profiles, defaults)
        domains, found = stats.read(stats.write(DOMAINS, preferred))
        self.assertEqual(DOMAINS, domains)
        self.assertEqual(preferred, found)
        return found

    def demand(self, *args, **specs):
        flavor = {f'kvm:{name}': text for name, text in specs.items()}
        return context.locality(flavor, self.read(*args))

    def test_a_profile_goes_before_the_host(self):
        for name, level in (('near', Locality.L3), ('far', Locality.ANY)):
            self.assertEqual(
                LocalityDemand(
                    level,
                    False,
                    f'kvm:cpu_locality={level.value} (profile {name!r})',
                ),
                self.demand(profile=f' {name}'),
            )

    def test_a_flavor_goes_before_its_profile(self):
        self.assertEqual(
            LocalityDemand(Locality.NUMA, False, 'kvm:cpu_locality=numa'),
            self.demand(profile='near', cpu_locality='numa'),
        )

    def test_a_profile_without_it_leaves_it_to_the_host(self):
        for name in ('other', 'firm', 'nobody', ''):
            self.assertEqual(FROM_HOST, self.demand(profile=name))
        self.assertEqual(FROM_HOST, self.demand())
        self.assertIsNone(self.demand(PROFILES, {}, profile='other'))

    def test_a_policy_may_come_from_elsewhere(self):
        strict = {'kvm:cpu_locality_policy': 'strict'}
        for wanted, given, specs in (
            (True, {}, {'profile': 'firm'}),
            (True, strict, {}),
            (False, {}, {}),
            (False, strict, {'cpu_locality_policy': 'preferred'}),
        ):
            found = self.demand(PROFILES, given, cpu_locality='l3', **specs)
            self.assertEqual(wanted, found.strict, (given, specs))

    def test_a_preference_is_never_strict(self):
        strict = {'kvm:cpu_locality_policy': 'strict'}
        for specs in ({'profile': 'near'}, {}):
            found = self.demand(
                PROFILES,
                {'kvm:cpu_locality': 'l3', **strict},
                cpu_locality_policy='strict',
                **specs,
            )
            self.assertEqual((Locality.L3, False), (found.level, found.strict))

    def test_a_host_of_the_previous_release(self):
        _, found = stats.read({stats.L3: '0-3', stats.LOCALITY: 'numa'})
        self.assertEqual(FROM_HOST, context.locality({}, found))
        self.assertEqual({}, found.profiles)

    def test_a_report_that_cannot_be_read_has_no_profiles(self):
        for text in ('', 'x', '[]', '{"near": "l3"}', '{"near": [1, 2]}'):
            _, found = stats.read({stats.L3: '0-3', stats.PROFILES: text})
            self.assertEqual({}, found.profiles, text)
