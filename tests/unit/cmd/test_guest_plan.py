import os

from kvm_tuning.core import domain
from tests.fixtures import fake_processes
from tests.unit.cmd.base import CommandTest


class GuestPlanTest(CommandTest):
    def plan(self, *argv, flavor=None, domain=None, root=None):
        dedicated = {'hw:cpu_policy': 'dedicated', 'kvm:cpu_locality': 'l3'}
        return self.run_command(
            'guest', 'plan',
            '--flavor', flavor or self.flavor(**dedicated),
            '--xml', domain or self.domain(),
            '--root', root or self.host(),
            *argv,
        )  # fmt: skip

    def test_a_plan(self):
        done = self.plan()
        self.assertEqual(0, done.status, done.stderr)
        for part in (
            'Asked',
            'Demands',
            'Placement',
            'Effects',
            'Claims',
            'Consequences',
            'every-pcpu-assumed',
            'not-probed',
        ):
            self.assertIn(part, done.stdout)

    def test_a_document(self):
        done = self.plan('-f', 'json')
        plan = done.document
        self.assertEqual(4, len(plan['placement']['pins']))
        self.assertEqual(4, len(plan['claim']['pcpus']))
        self.assertEqual('g', plan['guest'])
        self.assertEqual(0, self.plan('-f', 'yaml').status)

    def test_values_are_the_effects(self):
        done = self.plan('-f', 'value', '-c', 'address')
        self.assertIn(
            "cputune/vcpupin[@vcpu='0']/@cpuset", done.stdout.splitlines()
        )

    def test_the_tuned_xml(self):
        done = self.plan('--show', 'xml')
        tuned = domain.read(done.stdout)
        self.assertEqual(4, len(tuned.current.pins))
        self.assertIsNotNone(tuned.receipt)

    def test_a_difference(self):
        done = self.plan('--show', 'diff')
        self.assertIn("+    <vcpupin vcpu='0'", done.stdout)
        self.assertTrue(done.stdout.startswith('--- g as it is\n'))

    def test_nothing_asked_is_no_difference(self):
        done = self.plan('--show', 'diff', flavor=self.flavor())
        self.assertEqual((0, ''), (done.status, done.stdout))

    def test_parts(self):
        only = self.plan('--show', 'consequences')
        self.assertNotIn('Effects', only.stdout)
        without = self.plan('--show', 'plan')
        self.assertNotIn('Consequences', without.stdout)

    def test_what_others_hold(self):
        free = self.plan('-f', 'json').document['claim']['pcpus']
        taken = ','.join(map(str, free))
        done = self.plan('--taken', taken, '-f', 'json')
        self.assertFalse(set(free) & set(done.document['claim']['pcpus']))

    def test_what_processes_hold(self):
        root = self.host()
        free = self.plan('-f', 'json', root=root).document['claim']['pcpus']
        fake_processes.write(root, 1, 'systemd', ['0-31'], parent=0)
        fake_processes.write(root, 70, 'pmd-c01', ['0-31', str(free[0])])
        done = self.plan('-f', 'json', root=root)
        self.assertNotIn(free[0], done.document['claim']['pcpus'])
        few = f'{free[0]},{free[1]},{free[2]},{free[3]}'
        refused = self.plan('--dedicated-cpus', few, root=root)
        self.assertIn(f'pmd-c01 (process 70) {free[0]}', refused.stderr)

    def test_a_refusal(self):
        done = self.plan('--taken', '0-30')
        self.assertEqual((1, ''), (done.status, done.stdout))
        self.assertIn('Exhausted: ', done.stderr)

    def test_a_configuration_below_the_root(self):
        root = self.host()
        place = os.path.join(root, 'etc/kvm-tuning')
        os.makedirs(place)
        path = os.path.join(place, 'kvm-tuning.conf')
        with open(path, 'w') as file:
            file.write('[placement]\ndedicated_cpus = 4-7,20-23\n')
        done = self.plan('-f', 'json', root=root)
        pcpus = set(done.document['claim']['pcpus'])
        self.assertEqual(set(), pcpus - {4, 5, 6, 7, 20, 21, 22, 23})
        codes = [each['code'] for each in done.document['consequences']]
        self.assertNotIn('every-pcpu-assumed', codes)
        with open(path, 'w') as file:
            file.write('[placement]\nshared_cpus = 0\n')
        refused = self.plan(root=root)
        self.assertEqual(1, refused.status)
        self.assertIn('[placement] dedicated_cpus', refused.stderr)

    def test_sets_of_the_command_line(self):
        done = self.plan('--dedicated-cpus', '8-11', '-f', 'json')
        self.assertEqual([8, 9, 10, 11], done.document['claim']['pcpus'])
        for option in ('--dedicated-cpus', '--shared-cpus', '--taken'):
            wrong = self.plan(option, '99')
            self.assertEqual((2, ''), (wrong.status, wrong.stdout))
            self.assertIn(option, wrong.stderr)

    def test_usage(self):
        flavor = self.flavor()
        self.assertEqual(
            2, self.run_command('guest', 'plan', '--flavor', flavor).status
        )
        self.assertEqual(
            2,
            self.run_command(
                'guest', 'plan', '--flavor', flavor, '--xml', 'a',
                '--domain', 'b',
            ).status,
        )  # fmt: skip
