"""The phases of the DevStack plugin, by DevStack's own functions.

They need DevStack's tree, which KVM_TUNING_DEVSTACK names.
"""

import copy
import glob
import os
import random
import shutil
import subprocess
from unittest import skipUnless
import venv

import testtools

from tests.fixtures import devstack, prepared

ONE_NODE = 'n-api,n-cpu,n-sch,n-cond,tempest'
HOST = """[[post-config|$KVM_TUNING_CONF]]
[ksm]
run = off
[transparent_huge_pages]
enabled = never
[cpu_isolation]
housekeeping_cpus = 0,2
[[post-config|$NOVA_CONF]]
[DEFAULT]
ram_allocation_ratio = 1.0
"""
FILTER = 'kvm_tuning.adapters.nova.scheduler_filter.KvmTuningFilter'
WEIGHER = 'kvm_tuning.adapters.nova.scheduler_weigher.KvmTuningWeigher'
OURS = {
    ('DEFAULT', 'compute_driver'),
    ('compute', 'cpu_dedicated_set'),
    ('compute', 'cpu_shared_set'),
    ('filter_scheduler', 'available_filters'),
    ('filter_scheduler', 'enabled_filters'),
    ('filter_scheduler', 'weight_classes'),
}


def flat(groups):
    return {
        (group, option): values
        for group, options in groups.items()
        for option, values in options.items()
    }


@skipUnless(os.environ.get(devstack.VARIABLE), f'{devstack.VARIABLE} is unset')
class PhasesTest(testtools.TestCase):
    def node(self, services=ONE_NODE, localrc='', sections=''):
        return self.useFixture(devstack.DevStack(services, localrc, sections))

    def run_phases(self, node, mode, status=0):
        found, output = node.run(mode)
        self.assertEqual(status, found, output)
        return output


class TestOneNode(PhasesTest):
    def test_from_stack_to_clean(self):
        node = self.node(localrc='disable_service kvm-tuning')
        untouched = node.host()
        self.run_phases(node, 'stack')
        stock = flat(node.nova())
        self.assertEqual(untouched, node.host())
        self.assertEqual([], node.calls('kvm-tuning'))

        node.configure('KVM_TUNING_HOST_PREP=apply', HOST)
        self.run_phases(node, 'stack')
        self.check_stacked(node, stock)
        first = node.read('etc/nova/nova.conf')
        compute = node.read('etc/nova/nova-cpu.conf')
        prepared_host = node.host()

        # All of it again, and the phase again on what it has written.
        node.forget_calls()
        self.run_phases(node, 'stack')
        self.assertEqual(first, node.read('etc/nova/nova.conf'))
        self.assertEqual(compute, node.read('etc/nova/nova-cpu.conf'))
        self.assertEqual(prepared_host, node.host())
        self.assertEqual([], node.calls('restart'))
        self.assertEqual(3, len(node.cloud.flavors))
        before = flat(node.nova())
        self.run_phases(node, 'configure')
        self.assertEqual(before, flat(node.nova()))

        self.run_phases(node, 'unstack')
        del before['DEFAULT', 'ram_allocation_ratio']
        after = flat(node.nova())
        del after['DEFAULT', 'ram_allocation_ratio']
        self.assertEqual(stock, after)
        self.check_unstacked(node)
        self.run_phases(node, 'clean')
        self.check_unstacked(node)
        self.assertEqual(
            {
                # KSM's counters begin anew.
                'sys/kernel/mm/ksm/pages_shared',
                'sys/kernel/mm/ksm/pages_sharing',
            },
            set(prepared.differences(node.host(), untouched)),
        )
        self.assertFalse(node.exists('host/etc/kvm-tuning'))
        self.assertFalse(node.exists('data/kvm-tuning'))

    def check_stacked(self, node, stock):
        found = flat(node.nova())
        self.assertEqual(
            ['1.0'], found.pop(('DEFAULT', 'ram_allocation_ratio'))
        )
        changed = {key for key in found if found[key] != stock.get(key)}
        self.assertEqual(OURS, changed)
        self.assertEqual(set(), stock.keys() - found.keys())
        self.assertEqual(
            ['kvm_tuning.KvmTuningDriver'], found['DEFAULT', 'compute_driver']
        )
        # From the fragment of the host's configuration.
        self.assertEqual(['1,3'], found['compute', 'cpu_dedicated_set'])
        self.assertEqual(['0,2'], found['compute', 'cpu_shared_set'])
        [filters] = found['filter_scheduler', 'enabled_filters']
        [before] = stock['filter_scheduler', 'enabled_filters']
        self.assertEqual(f'{before},KvmTuningFilter', filters)
        self.assertEqual(
            ['nova.scheduler.filters.all_filters', FILTER],
            found['filter_scheduler', 'available_filters'],
        )
        self.assertEqual(
            [f'nova.scheduler.weights.all_weighers,{WEIGHER}'],
            found['filter_scheduler', 'weight_classes'],
        )
        compute = flat(node.nova('nova-cpu.conf'))
        for key in OURS:
            self.assertEqual(found[key], compute[key])
        self.assertTrue(node.exists('etc/nova/rootwrap.d/kvm-tuning.filters'))
        self.assertIn(
            f'scheduler_enabled_filters = {filters}', node.read('tempest.conf')
        )
        files = node.host()
        self.assertIn('etc/libvirt/hooks/qemu.d/kvm-tuning', files)
        self.assertEqual(['restart libvirtd'], node.calls('restart'))
        self.assertIn(
            '[never]', files['sys/kernel/mm/transparent_hugepage/enabled']
        )
        self.assertEqual(
            ['kvm-tuning.l3', 'kvm-tuning.pinned', 'kvm-tuning.shared'],
            sorted(each['name'] for each in node.cloud.flavors.values()),
        )
        self.assertEqual(3, len(node.calls('flavor push')))

    def check_unstacked(self, node):
        for name in ('nova.conf', 'nova-cpu.conf'):
            text = node.read(f'etc/nova/{name}')
            self.assertNotIn('kvm_tuning', text.replace(node.scratch, ''))
            self.assertNotIn('KvmTuning', text)
            self.assertNotIn('cpu_dedicated_set', text)
        self.assertFalse(node.exists('etc/nova/rootwrap.d/kvm-tuning.filters'))
        self.assertTrue(node.exists('etc/nova/rootwrap.d/compute.filters'))
        self.assertNotIn('etc/libvirt/hooks/qemu.d/kvm-tuning', node.host())

    def test_words_that_make_no_sense(self):
        node = self.node()
        for line, said in (
            ('KVM_TUNING_HOST_PREP=yes', 'want off, plan or apply'),
            ('KVM_TUNING_CPU_SHARED_SET=0-7,^3', 'want auto, none or'),
            ('VIRT_DRIVER=fake', 'VIRT_DRIVER=fake: kvm-tuning wants libvirt'),
        ):
            node.configure(line)
            self.assertIn(said, self.run_phases(node, 'install', status=1))
        self.assertEqual([], node.calls(''))

    def test_a_refusal_of_the_host_ends_it(self):
        node = self.node(
            'n-cpu',
            'KVM_TUNING_HOST_PREP=apply',
            '[[post-config|$KVM_TUNING_CONF]]\n'
            '[huge_pages]\npages = node:7,size:2048,count:4\n',
        )
        before = node.host()
        output = self.run_phases(node, 'stack', status=1)
        self.assertIn('kvm-tuning host apply has failed', output)
        self.assertEqual(
            {
                'etc/kvm-tuning/conf.d/devstack.conf',
                'var/lib/kvm-tuning/lock',
            },
            set(prepared.differences(node.host(), before)),
        )


class TestSequences(PhasesTest):
    """Whatever comes after what, nothing is left in the end."""

    #: How many; each takes a minute or so.
    count = int(os.environ.get('KVM_TUNING_DEVSTACK_SEQUENCES', '2'))

    services = (
        ONE_NODE,
        'n-cpu',
        'n-api,n-sch,n-cond',
        # What is enabled by now says nothing of what was.
        'n-api',
    )

    def setUp(self):
        super().setUp()
        self.stacked = self.node()
        self.untouched = self.stacked.host()

    def configure(self, enabled, services):
        self.stacked.services = services
        self.stacked.configure(
            'KVM_TUNING_HOST_PREP=apply\nKVM_TUNING_FLAVORS=none\n'
            + ('' if enabled else 'disable_service kvm-tuning\n'),
            # DevStack itself writes the first section to its file.
            HOST if enabled else HOST[HOST.index('[[', 2) :],
        )

    def check_nothing_is_left(self, done):
        host = self.stacked.host()
        changed = {
            path for path in prepared.differences(host, self.untouched)
            # The kernel's own counters begin again.
            if not path.startswith('sys/kernel/mm/ksm/pages_')
        }  # fmt: skip
        self.assertEqual(set(), changed, done)
        self.assertFalse(self.stacked.exists('data/kvm-tuning'), done)

    def test_random_ones(self):
        for seed in range(self.count):
            chance = random.Random(seed)
            done = [seed]
            for _step in range(chance.randint(2, 6)):
                mode = chance.choice(('stack', 'stack', 'unstack', 'clean'))
                enabled = chance.random() < 0.7
                services = chance.choice(self.services)
                done.append((mode, enabled, services))
                self.configure(enabled, services)
                self.run_phases(self.stacked, mode)
            last = chance.choice(('unstack', 'clean'))
            done.append(last)
            self.run_phases(self.stacked, last)
            self.check_nothing_is_left(done)

    def test_disabled_and_unstacked(self):
        for last in ('unstack', 'clean', 'stack'):
            self.configure(True, ONE_NODE)
            self.run_phases(self.stacked, 'stack')
            self.assertIn(
                'etc/libvirt/hooks/qemu.d/kvm-tuning', self.stacked.host()
            )
            self.configure(False, 'n-api')
            self.run_phases(self.stacked, last)
            self.check_nothing_is_left(last)

    def test_nova_conf_is_the_same_to_the_byte(self):
        self.configure(False, ONE_NODE)
        self.run_phases(self.stacked, 'stack')
        stock = self.stacked.read('etc/nova/nova.conf')
        self.configure(True, ONE_NODE)
        self.run_phases(self.stacked, 'stack')
        self.run_phases(self.stacked, 'stack')
        self.assertNotEqual(stock, self.stacked.read('etc/nova/nova.conf'))
        self.configure(False, 'n-api')
        self.run_phases(self.stacked, 'unstack')
        self.assertEqual(stock, self.stacked.read('etc/nova/nova.conf'))

    def test_what_was_there_before_stays(self):
        """A host that somebody has set up besides DevStack."""
        theirs = 'host/etc/kvm-tuning/kvm-tuning.conf'
        self.stacked.write(theirs, '[ksm]\nrun = off\n')
        self.stacked.write('host/var/lib/kvm-tuning/provision.json', '{}')
        self.untouched = self.stacked.host()
        self.configure(True, 'n-api')
        self.run_phases(self.stacked, 'stack')
        self.run_phases(self.stacked, 'clean')
        self.check_nothing_is_left('clean')

    def test_a_program_that_is_gone(self):
        self.configure(True, ONE_NODE)
        self.run_phases(self.stacked, 'stack')
        os.unlink(self.stacked.path('data/venv/bin/kvm-tuning'))
        self.configure(False, 'n-api')
        output = self.run_phases(self.stacked, 'unstack')
        self.assertIn('is gone', output)
        self.assertTrue(
            self.stacked.exists('host/var/lib/kvm-tuning/journal.json')
        )


class TestFlavors(PhasesTest):
    """Flavor files as people have them."""

    def setUp(self):
        super().setUp()
        self.stacked = self.node('n-api,n-sch')

    def create(self, **files):
        """Return the flavors that these documents become, by name."""
        for name, text in files.items():
            self.stacked.write(f'flavors/{name}', text)
        self.stacked.configure(
            f'KVM_TUNING_FLAVORS="{self.stacked.scratch}/flavors/*"'
        )
        self.run_phases(self.stacked, 'stack')
        # A second time changes nothing.
        found = copy.deepcopy(self.stacked.cloud.flavors)
        self.run_phases(self.stacked, 'stack')
        self.assertEqual(found, self.stacked.cloud.flavors)
        return {each['name']: each for each in found.values()}

    def test_quotes_ids_and_access(self):
        found = self.create(
            quoted='name: "big one"\nid: 7\nvcpus: 4\nram: 4096\ndisk: 10\n'
            'properties: {"hw:cpu_policy": dedicated}\n',
            private='name: priv\nvcpus: 2\nram: 1024\ndisk: 1\nswap: 512\n'
            'OS-FLV-EXT-DATA:ephemeral: 20\n'
            'os-flavor-access:is_public: false\n',
            shown='{"name": "of json", "vcpus": 1, "ram": 64, "disk": 0,\n'
            ' "id": "auto", "properties": {"kvm:iothreads": "1"}}\n',
            # Comments, other orders, and a field within a text
            odd='# name: no\nproperties:\n  kvm:iothreads: "1"\n'
            'description: |\n  id: 5\n  vcpus: 9\nvcpus: 2\nram: 64\n'
            'name:   odd   # its name\n',
        )
        self.assertEqual({'big one', 'priv', 'of json', 'odd'}, set(found))
        self.assertEqual('7', found['big one']['id'])
        self.assertEqual(
            (512, 20, False),
            tuple(found['priv'][key] for key in (
                'swap', 'OS-FLV-EXT-DATA:ephemeral',
                'os-flavor-access:is_public',
            )),
        )  # fmt: skip
        self.assertEqual(2, found['odd']['vcpus'])
        for name in ('priv', 'of json', 'odd'):
            self.assertTrue(found[name]['id'].startswith('auto-'))
        self.assertEqual('1', found['of json']['extra_specs']['kvm:iothreads'])


class TestManyNodes(PhasesTest):
    def test_a_compute_node(self):
        node = self.node('n-cpu', 'KVM_TUNING_HOST_PREP=plan', HOST)
        before = node.host()
        output = self.run_phases(node, 'stack')
        self.assertIn('no pages are merged', output)
        found = flat(node.nova())
        self.assertEqual(
            ['kvm_tuning.KvmTuningDriver'], found['DEFAULT', 'compute_driver']
        )
        self.assertNotIn(('filter_scheduler', 'available_filters'), found)
        self.assertEqual([], node.calls('flavor'))
        changed = prepared.differences(node.host(), before)
        self.assertEqual(
            set(), {path for path in changed if path.startswith('sys/')}
        )
        # What cannot be undone can be undone later.
        node.script('data/venv/bin/kvm-tuning', 'exit 1\n')
        output = self.run_phases(node, 'clean')
        self.assertIn('journal and its configuration stay', output)
        self.assertTrue(node.exists('host/etc/kvm-tuning/conf.d'))
        self.assertNotIn('kvm_tuning', node.read('etc/nova/nova-cpu.conf'))

    def test_a_controller(self):
        node = self.node('n-api,n-sch,n-cond', 'KVM_TUNING_FLAVORS=none')
        before = node.host()
        self.run_phases(node, 'stack')
        found = flat(node.nova())
        self.assertNotIn(('DEFAULT', 'compute_driver'), found)
        self.assertIn(('filter_scheduler', 'weight_classes'), found)
        self.assertEqual([], node.calls('kvm-tuning host'))
        self.assertEqual([], node.calls('flavor'))
        self.run_phases(node, 'unstack')
        self.run_phases(node, 'clean')
        self.assertEqual(before, node.host())
        self.assertNotIn('KvmTuning', node.read('etc/nova/nova.conf'))

    def test_what_local_conf_says_last_is_told(self):
        node = self.node(
            'n-cpu,n-sch',
            'KVM_TUNING_HOST_HOOKS=False',
            '[[post-config|$NOVA_CPU_CONF]]\n[DEFAULT]\n'
            'compute_driver = libvirt.LibvirtDriver\n'
            '[[post-config|$NOVA_CONF]]\n[filter_scheduler]\n'
            'enabled_filters = ComputeFilter,NUMATopologyFilter\n',
        )
        output = self.run_phases(node, 'stack')
        self.assertIn('compute_driver is libvirt.LibvirtDriver', output)
        self.assertIn('enabled_filters is ComputeFilter,NUMA', output)
        self.assertEqual([], node.calls('hooks install'))
        self.run_phases(node, 'unstack')
        # Who has said it later is not overruled.
        self.assertEqual(
            ['ComputeFilter,NUMATopologyFilter'],
            flat(node.nova())['filter_scheduler', 'enabled_filters'],
        )


class TestInstall(PhasesTest):
    """DevStack's pip, in an environment of its own."""

    def test_installed_and_uninstalled(self):
        node = self.node('n-api', 'OFFLINE=False')
        os.unlink(node.path('stack/kvm-tuning'))
        shutil.copytree(
            devstack.TOP,
            node.path('stack/kvm-tuning'),
            ignore=shutil.ignore_patterns(
                '.*', 'build', 'doc', 'tests', '*.egg-info', '__pycache__'
            ),
        )
        os.unlink(node.path('data/venv/bin/kvm-tuning'))
        venv.create(node.path('data/venv'), symlinks=True)
        [site] = glob.glob(node.path('data/venv/lib/*/site-packages'))
        with open(f'{site}/outer.pth', 'w') as file:
            # Where pip and what builds the package are.
            file.write(os.path.dirname(os.path.dirname(testtools.__file__)))
        node.script('data/venv/bin/pip', 'exec "${0%/*}/python" -m pip "$@"\n')
        node.environment = {
            'PBR_VERSION': '0.0.1',
            'PIP_DISABLE_PIP_VERSION_CHECK': '1',
            'PIP_NO_BUILD_ISOLATION': '0',
            'PIP_NO_DEPS': '1',
            'PIP_NO_INDEX': '1',
        }
        self.run_phases(node, 'install')
        # Its own constraint would be in its way.
        self.assertEqual(
            ['edit-constraints kvm-tuning'], node.calls('constraints')
        )
        self.assertEqual('', node.read('requirements/upper-constraints.txt'))
        done = subprocess.run(
            [node.path('data/venv/bin/kvm-tuning'), '--version'],
            capture_output=True,
            text=True,
        )
        self.assertEqual('kvm-tuning 0.0.1\n', done.stdout, done.stderr)
        node.write('etc/nova/nova.conf', '')
        self.run_phases(node, 'clean')
        self.assertFalse(node.exists('data/venv/bin/kvm-tuning'))
