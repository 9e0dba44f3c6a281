"""host provision: a new host from one document, on a tree."""

import json
import os
import threading

import fixtures
from testtools.matchers import Contains, Equals
import yaml

from kvm_tuning.host import document
from kvm_tuning.host.prep import journal, provision
from kvm_tuning.host.prep.kinds.kind import UNIT
from tests.fixtures import prepared, whole_host
from tests.unit.cmd.test_host_prep import HostPrepTest

REBOOTS = """
config:
  ksm: {run: off}
  cpu_isolation:
    housekeeping_cpus: '0,2'
    isolate_by: [nohz_full]
    systemd_affinity: false
    irq_affinity: false
reboot: true
"""
RELOADS = """
config:
  kvm_modules: {vhost_net: true, vhost_zero_copy: true}
reboot: true
"""
AT_ONCE = """
config:
  ksm: {run: off}
  huge_pages: {pages: [{node: 0, size: 2048, count: 64}]}
"""


WRAPPED = 'kvm_tuning:' + AT_ONCE.replace('\n', '\n  ')


class ProvisionTest(HostPrepTest):
    def build(self):
        kernel = whole_host.build(self.root)
        kernel.remove('etc/kvm-tuning/kvm-tuning.conf')
        return kernel

    def provision(self, text, status=0):
        path = os.path.join(self.root, 'document')
        with open(path, 'w') as file:
            file.write(text)
        done = self.host('provision', path, '-f', 'json')
        self.assertThat(done.status, Equals(status), str(done))
        return done.document if done.stdout else done.stderr

    def state(self):
        return json.loads(self.kernel.get(provision.STATE))

    def ready(self):
        done = self.at('ready')
        return done.status, done.stderr

    def test_at_once_and_again(self):
        done = self.provision(AT_ONCE)
        self.assertThat((done['ready'], done['reboot']), Equals((True, False)))
        self.assertThat(done['changed'], Contains('KSM run'))
        self.assertThat(
            done['written'], Contains(f'/etc/systemd/system/{UNIT}')
        )
        self.assertThat(self.state()['step'], Equals('done'))
        unit = self.kernel.get(f'etc/systemd/system/{UNIT}')
        self.assertThat(unit, Contains(provision._command() + '-host-prep '))
        before = prepared.snapshot(self.root)
        self.kernel.log.clear()
        done = self.provision(AT_ONCE)
        self.assertThat((done['written'], done['changed']), Equals(([], [])))
        self.assertThat(self.kernel.log, Equals([]))
        self.assertThat(prepared.snapshot(self.root), Equals(before))

    def test_waits_for_another_run(self):
        handle = self.kernel.lock(journal.LOCK)
        other = threading.Timer(0.2, os.close, (handle,))
        other.start()
        self.addCleanup(other.join)
        self.assertTrue(self.provision(AT_ONCE)['ready'])

    def test_reboots_once(self):
        done = self.provision(REBOOTS)
        self.assertThat((done['ready'], done['reboot']), Equals((False, True)))
        self.assertThat(self.state()['step'], Equals('reboot'))
        self.assertThat(self.ready()[0], Equals(1))
        # As long as it has not been rebooted, it still is to be.
        self.assertThat(self.provision(REBOOTS)['reboot'], Equals(True))
        self.kernel.put('proc/cmdline', 'root=/dev/vda nohz_full=1,3')
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        self.assertThat(self.ready(), Equals((0, '')))
        done = self.provision(REBOOTS)
        self.assertThat((done['ready'], done['reboot']), Equals((True, False)))
        self.assertThat((done['written'], done['changed']), Equals(([], [])))
        self.assertThat(self.state()['step'], Equals('done'))

    def test_reboots_for_a_module_that_is_to_be_loaded_anew(self):
        option = 'sys/module/vhost_net/parameters/experimental_zcopytx'
        self.kernel.put(option, 0)
        self.kernel.put('sys/module/vhost_net/refcnt', 1)
        done = self.provision(RELOADS)
        self.assertThat((done['ready'], done['reboot']), Equals((False, True)))
        self.assertThat(
            done['waiting'],
            Equals(['modprobe option vhost_net.experimental_zcopytx']),
        )
        self.kernel.put(option, 1)
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        done = self.provision(RELOADS)
        self.assertThat((done['ready'], done['reboot']), Equals((True, False)))

    def test_no_reboot_for_a_module_that_is_not_loaded(self):
        done = self.provision(
            RELOADS.replace('vhost_net: true, ', ''), status=1
        )
        self.assertThat(
            (done['ready'], done['reboot'], done['waiting']),
            Equals((False, False, [])),
        )

    def test_no_second_reboot_for_what_a_reboot_does_not_bring(self):
        self.provision(REBOOTS)
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        said = self.provision(REBOOTS, status=3)
        self.assertThat(said, Contains('after the reboot that was made for'))
        self.assertThat(self.ready()[1], Contains('failed: SettingRejected'))

    def test_a_reboot_that_is_not_allowed_is_not_asked_for(self):
        done = self.provision(REBOOTS.replace('reboot: true', ''))
        self.assertThat(
            (done['ready'], done['reboot']), Equals((False, False))
        )
        self.assertThat(done['waiting'], Contains(
            'kernel arguments in /etc/kernel/cmdline'))  # fmt: skip

    def test_a_bad_document_keeps_the_gate_shut(self):
        self.assertThat(self.ready()[0], Equals(0))
        said = self.provision('config: {ksm: {run: maybe}}', status=3)
        wanted = "kvm_tuning.config.ksm.run = 'maybe': want off or on"
        self.assertThat(said, Contains(wanted))
        status, told = self.ready()
        self.assertThat(status, Equals(1))
        self.assertThat(told, Contains(wanted))
        self.assertThat(
            os.path.exists(f'{self.root}/{provision.CONFIGURATION}'),
            Equals(False),
        )
        self.provision(AT_ONCE)
        self.assertThat(self.ready(), Equals((0, '')))

    def test_what_oslo_config_refuses_is_not_written(self):
        text = yaml.safe_dump({'config': {'defaults': {'knobs': ['nothing']}}})
        self.provision(text, status=3)
        self.assertThat(
            os.path.exists(f'{self.root}/{provision.CONFIGURATION}'),
            Equals(False),
        )

    def test_a_refusal_keeps_the_gate_shut(self):
        said = self.provision(
            'config: {sriov: {vfs: ["driver:igb=99"]}}', status=3
        )
        self.assertThat(said, Contains('99'))
        self.assertThat(self.ready()[0], Equals(1))

    def test_with_its_key_or_without(self):
        self.provision(AT_ONCE)
        before = prepared.snapshot(self.root)
        self.provision(WRAPPED)
        before.pop('document')
        after = prepared.snapshot(self.root)
        after.pop('document')
        self.assertEqual(before, after)
        said = self.provision('kvm_tuning: {ksm: {}}', status=3)
        self.assertIn('kvm_tuning.ksm is not a key', said)

    def check(self, text):
        self.kernel.put('document', text)
        before = prepared.snapshot(self.root)
        done = self.host(
            'provision', '--check', f'{self.root}/document', '-f', 'json'
        )
        self.assertEqual(before, prepared.snapshot(self.root))
        return done

    def test_check_changes_nothing(self):
        for text in (AT_ONCE, WRAPPED):
            done = self.check(text)
            self.assertEqual(0, done.status, done)
            self.assertEqual(
                {'valid': True, 'groups': ['huge_pages', 'ksm']},
                done.document,
            )
        for text, said in (
            ('config: {ksm: {run: maybe}}', "'maybe': want off or on"),
            ('config: {ksm: {runs: on}}', 'did you mean run?'),
            ('config: {ksm: [}', 'cannot be parsed'),
            ('config: {sriov: {vfs: [oops]}}', 'vfs'),
            ('config: {huge_pages: {pages: [{node: 0}]}}', 'pages'),
        ):
            done = self.check(text)
            self.assertEqual(3, done.status, done)
            self.assertIn(said, done.stderr)

    def test_a_missing_library_is_no_fault_of_the_document(self):
        def missing(name):
            raise ImportError(name)

        self.useFixture(
            fixtures.MonkeyPatch('importlib.import_module', missing)
        )
        before = self.ready()
        said = self.provision(AT_ONCE, status=3)
        self.assertIn('kvm-tuning[cloud-init]', said)
        self.assertIsNone(provision.state(self.kernel.tree()))
        self.assertEqual((0, ''), before)
        self.assertEqual(before, self.ready())

    def test_no_yaml(self):
        said = self.provision('a: [', status=3)
        self.assertThat(said, Contains('cannot be parsed'))

    def test_a_document_that_cannot_be_read_shuts_the_gate(self):
        self.provision(AT_ONCE)
        self.provision('config: {ksm: [}', status=3)
        self.assertThat(self.ready()[1], Contains('cannot be parsed'))

    def test_values_that_yaml_takes_for_others_are_refused(self):
        for text, said in (
            ('ksm: {on: no, run: off}', 'config.ksm.on in line 1 is not a'),
            ('placement: {shared_cpus: 2024-01-02}',
             'config.placement.shared_cpus = 2024-01-02'),
            ('placement: {shared_cpus: 010}',
             'shared_cpus = 010 in line 1 is read as 8'),
            ('placement: {shared_cpus: 1:30}', 'is read as 90'),
            ('compaction: {proactiveness: 0x10}', 'is read as 16'),
            ('compaction: {proactiveness: 1_0}', 'is read as 10'),
            ('compaction: {proactiveness: .nan}', 'is read as nan'),
            ('ksm: {run: !!binary b24=}', 'is read as a binary'),
            ('ksm: {run: !!set {on}}', 'is read as a set'),
            ('ksm: {run: off}, ksm: {run: on}', 'config.ksm appears twice'),
            ('ksm: &a {run: *a}', 'contains itself'),
        ):  # fmt: skip
            told = self.provision(f'config: {{{text}}}', status=3)
            self.assertThat(told, Contains(said))
            self.assertThat(self.state()['step'], Equals('failed'))
            self.assertThat(self.ready()[1], Contains(said))
            self.assertThat(
                os.path.exists(f'{self.root}/{provision.CONFIGURATION}'),
                Equals(False),
            )
        # In quotes they are what they say.
        self.provision("config: {compaction: {'proactiveness': 5}}")

    def test_json_is_read_as_json(self):
        text = json.dumps({'config': {'ksm': {'run': '\U0001f600'}}})
        self.assertThat(self.provision(text, status=3), Contains('\U0001f600'))

    def test_the_boot_in_which_it_ran_is_written_down(self):
        self.provision(AT_ONCE)
        first = self.state()['ran']
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        self.provision(AT_ONCE)
        self.assertThat((first, self.state()['ran']),
                        Equals(('boot-1', 'boot-2')))  # fmt: skip

    def cloud_init(self, modules, key=True):
        """Have cloud-init run at this boot, with a document or without."""
        self.kernel.put('run/cloud-init/enabled', '')
        self.kernel.put(
            'etc/cloud/cloud.cfg',
            yaml.safe_dump({'cloud_config_modules': modules}),
        )
        self.kernel.put(
            'etc/cloud/cloud.cfg.d/50_kvm_tuning.cfg',
            'kvm_tuning: {config: {ksm: {run: off}}}\n' if key else '# {}\n',
        )

    def test_a_module_that_no_list_names_is_missed(self):
        self.cloud_init(['ntp', ['runcmd']])
        status, said = self.ready()
        self.assertThat(status, Equals(1))
        self.assertThat(said, Contains('none of its lists'))
        self.assertThat(said, Contains('kvm-tuning host cloud-init'))
        # Done by hand at this boot, it is done.
        self.provision(AT_ONCE)
        self.assertThat(self.ready(), Equals((0, '')))
        self.kernel.put('proc/sys/kernel/random/boot_id', 'boot-2')
        self.assertThat(self.ready()[0], Equals(1))

    def test_a_module_that_has_not_ended_is_missed(self):
        for name in ('kvm_tuning', 'kvm-tuning', 'cc_kvm_tuning'):
            self.cloud_init(['ntp', [name, 'always']])
            status, said = self.ready()
            self.assertThat(status, Equals(1))
            self.assertThat(said, Contains('has not ended at this boot'))

    def test_a_module_that_nobody_asked_for_is_not_missed(self):
        self.cloud_init(['ntp'], key=False)
        self.assertThat(self.ready(), Equals((0, '')))
        self.cloud_init(['ntp'])
        self.kernel.remove('run/cloud-init/enabled')
        self.assertThat(self.ready(), Equals((0, '')))

    def test_what_of_cloud_init_cannot_be_read_is_not_fine(self):
        self.cloud_init(['ntp'])
        self.kernel.put('etc/cloud/cloud.cfg.d/60_x.cfg', 'a: [')
        status, said = self.ready()
        self.assertThat(status, Equals(1))
        self.assertThat(said, Contains('is unknown'))

    def test_a_state_that_cannot_be_read_shuts_the_gate(self):
        self.kernel.put(provision.STATE, '[]')
        self.assertThat(self.ready()[1], Contains('cannot be parsed'))


class CloudInitTest(HostPrepTest):
    def test_our_module_is_the_last_of_the_list(self):
        self.kernel.put(
            'etc/cloud/cloud.cfg', 'cloud_config_modules: [ntp, runcmd]\n'
        )
        done = self.at('cloud-init')
        self.assertThat(
            yaml.safe_load(done.stdout),
            Equals(
                {
                    'cloud_config_modules': [
                        'ntp',
                        'runcmd',
                        ['kvm_tuning', 'always'],
                    ]
                }
            ),
        )
        # What it has printed can be there already.
        self.kernel.put('etc/cloud/cloud.cfg', done.stdout)
        self.assertThat(self.at('cloud-init').stdout, Equals(done.stdout))

    def test_a_list_of_another_file_counts(self):
        self.kernel.put('etc/cloud/cloud.cfg', 'cloud_config_modules: [ntp]\n')
        for name, modules in (('20_a', '[snap]'), ('10_b', '[runcmd]')):
            self.kernel.put(
                f'etc/cloud/cloud.cfg.d/{name}.cfg',
                f'cloud_config_modules: {modules}\n',
            )
        done = self.at('cloud-init')
        self.assertThat(
            yaml.safe_load(done.stdout)['cloud_config_modules'],
            Equals(['snap', ['kvm_tuning', 'always']]),
        )

    def test_no_list_is_an_error(self):
        self.kernel.put('etc/cloud/cloud.cfg', 'users: [default]\n')
        done = self.at('cloud-init')
        self.assertThat(done.status, Equals(3))
        self.assertThat(done.stderr, Contains('cloud_config_modules'))

    def test_schema(self):
        schema = self.host('cloud-init', '--schema').document
        self.assertThat(schema, Equals(document.schema()))
