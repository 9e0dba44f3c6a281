"""Kernel arguments in boot entries, in what they are made of, and in copies
that a boot loader reads.
"""

import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, MatchesRegex, Not

from kvm_tuning.host.prep.boot import sequels
from tests.fixtures import (
    booted_host,
    killed,
    plain_user,
    prepared,
    unified_image,
)
from tests.fixtures.booted_host import CPUS, IOMMU, ISOLATION, ROOT

_BOTH = ISOLATION.format('isolcpus,nohz_full')
_OURS = 'intel_iommu=on iommu=pt'
_CMDLINE = 'etc/kernel/cmdline'
_EFI = r'initrd=\aaaa\6.12.0\initrd.img'


class EntriesTest(testtools.TestCase):
    def host(self, text=IOMMU, **kwargs):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        return booted_host.BootedHost(root, text, **kwargs)

    def options(self, host, path):
        for line in host.get(path).splitlines():
            if line.startswith('options '):
                return line.removeprefix('options ')
        raise AssertionError(path)

    def comes_and_goes(self, host):
        """See that apply reaches what is wanted, and undo takes it back."""
        before = prepared.snapshot(host.root)
        self.assertThat(host.refusals(), Equals(''))
        done = host.apply()
        self.assertThat(done.failed, Equals([]))
        self.assertThat(host.changes(), Equals({}))
        made = prepared.snapshot(host.root)
        self.assertThat(prepared.take_back(host).failed, Equals([]))
        found = prepared.snapshot(host.root)
        self.assertThat(prepared.differences(found, before), Equals({}))
        return made


class TestVariables(EntriesTest):
    def test_what_grubs_block_holds_comes_first(self):
        for directory in ('boot/grub2', 'boot/grub'):
            host = self.host(_BOTH)
            host.put(
                f'{directory}/grubenv',
                '# GRUB Environment Block\n# WARNING: x\n'
                f'kernelopts={ROOT} isolcpus=1-3 nohz_full=1-3 \n'
                f'tuned_params=\n{"#" * 100}',
            )
            host.entry('$kernelopts $tuned_params')
            refusals = host.refusals()
            for word in ('isolcpus=1-3', 'nohz_full=1-3'):
                self.assertThat(
                    refusals,
                    Contains(f'$kernelopts of grubenv sets {word}, and'),
                )
            self.assertThat(host.apply().changed, Equals([]))

    def test_the_menus_fallback_counts_where_the_block_has_none(self):
        menu = (
            'if [ -s $prefix/grubenv ]; then\n load_env\nfi\n'
            'if [ -z "${kernelopts}" ]; then\n'
            f'  set kernelopts="{ROOT} isolcpus=2"\nfi\nblscfg\n'
        )
        host = self.host(_BOTH)
        host.put('boot/grub2/grub.cfg', menu)
        host.entry('${kernelopts}')
        self.assertThat(host.refusals(), Contains('isolcpus=2'))
        host.put('boot/grub2/grubenv', f'kernelopts={ROOT}\n')
        self.assertThat(host.refusals(), Equals(''))

    def test_tuned_wins_and_is_named(self):
        host = self.host(_BOTH)
        host.put(
            'etc/tuned/bootcmdline',
            'TUNED_BOOT_CMDLINE="skew_tick=1 isolcpus=managed_irq,domain,1-3 '
            'nohz_full=1-3"\nTUNED_BOOT_INITRD_ADD=""',
        )
        host.entry(f'{ROOT} $tuned_params')
        self.assertThat(
            host.refusals(),
            Contains(
                'TuneD ($tuned_params) sets isolcpus=managed_irq,domain,1-3'
            ),
        )
        rows = {row.state: row.remark for row in host.rows()}
        self.assertThat(rows['refused'], Contains('TuneD'))
        (others,) = [row.others for row in host.rows() if row.others]
        self.assertThat(others[0], Contains('TuneD (/etc/tuned/bootcmdline'))

    def test_what_tuned_brings_need_not_be_brought_again(self):
        host = self.host(_BOTH)
        host.put('boot/grub2/grubenv', f'tuned_params=isolcpus={CPUS} '
                 f'nohz_full={CPUS}\n')  # fmt: skip
        host.entry(f'{ROOT} $tuned_params')
        self.assertThat((host.refusals(), host.changes()), Equals(('', {})))

    def test_what_comes_last_is_ours(self):
        host = self.host()
        host.put('boot/grub2/grubenv', 'kernelopts=ro iommu=off\n')
        path = host.entry('$kernelopts')
        self.assertThat(host.changes(), Equals({path: f'$kernelopts {_OURS}'}))

    def test_systemd_boot_fills_nothing_in(self):
        host = self.host(_BOTH, command_line=f'{_EFI} {ROOT}')
        host.put('boot/grub2/grubenv', 'kernelopts=isolcpus=1\n')
        host.entry(f'{ROOT} $kernelopts')
        self.assertThat(host.refusals(), Equals(''))

    def test_one_that_nobody_knows_has_a_row(self):
        host = self.host()
        host.put('boot/grub2/grub.cfg', 'if keystatus; then set x=1; fi')
        host.entry(f'{ROOT} $x')
        self.assertThat(host.unseen(), Contains('only GRUB knows: x'))
        self.assertThat(host.changes(), Equals({}))


class TestOtherSystems(EntriesTest):
    def test_another_root_is_left_alone(self):
        host = self.host()
        own = host.entry(ROOT)
        other = host.entry('root=UUID=2222 ro iommu=off', 'bbbb-6.9.0')
        text = host.get(other)
        self.assertThat(list(host.changes()), Equals([own]))
        self.assertThat(
            host.notes(),
            Contains(f'/{other} starts another system (root=UUID=2222)'),
        )
        host.apply()
        self.assertThat(host.get(other), Equals(text))

    def test_the_same_root_by_another_name_is_ours(self):
        host = self.host()
        for path in ('dev/vda', 'dev/sdb'):
            host.put(path, '')
        for tag, target in (('1111', 'vda'), ('2222', 'sdb')):
            os.makedirs(f'{host.root}/dev/disk/by-uuid', exist_ok=True)
            os.symlink(
                f'../../{target}', f'{host.root}/dev/disk/by-uuid/{tag}'
            )
        own = host.entry('root=UUID=1111 ro')
        host.entry('root=UUID=2222 ro', 'bbbb')
        self.assertThat(list(host.changes()), Equals([own]))

    def test_where_none_has_our_root_all_are_ours(self):
        host = self.host()
        paths = [host.entry('root=/dev/mapper/x'), host.entry('ro', 'b')]
        self.assertThat(sorted(host.changes()), Equals(sorted(paths)))

    def test_one_that_is_not_told_by_its_machine_id(self):
        host = self.host()
        host.put('etc/machine-id', 'a' * 32)
        path = host.entry(ROOT, f'{"f" * 32}-6.12.0')
        self.assertThat(list(host.changes()), Equals([path]))


class TestPlaces(EntriesTest):
    def test_every_partition_is_looked_at(self):
        for partition in ('boot', 'efi', 'boot/efi'):
            host = self.host(command_line=f'{_EFI} {ROOT}')
            path = f'{partition}/loader/entries/aaaa.conf'
            host.put(path, f'title x\noptions {ROOT}')
            self.comes_and_goes(host)
            self.assertThat(list(host.changes()), Equals([path]))

    def test_a_host_that_has_grub_and_systemd_boot_gets_both(self):
        host = self.host(command_line=f'{_EFI} {ROOT}')
        host.grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet"')
        path = 'boot/efi/loader/entries/aaaa.conf'
        host.put(path, f'options {ROOT}')
        self.assertThat(list(host.changes()), Contains(path))
        self.assertThat(list(host.changes()), HasLength(2))

    def test_a_partition_under_two_names_is_one(self):
        host = self.host()
        path = 'boot/efi/loader/entries/aaaa.conf'
        host.put(path, f'options {ROOT}')
        os.symlink('boot/efi', f'{host.root}/efi')
        self.assertThat(list(host.changes()), HasLength(1))

    def test_a_link_on_the_way_is_followed(self):
        host = self.host()
        host.put('boot/loader.1/entries/a.conf', f'options {ROOT}')
        os.symlink('loader.1', f'{host.root}/boot/loader')
        self.comes_and_goes(host)

    def test_systemd_boot_without_entries_is_not_mounted(self):
        host = self.host(command_line=f'{_EFI} {ROOT} {_OURS}')
        self.assertThat(host.unseen(), Contains('mount the EFI system'))
        (reason,) = host.ready()
        self.assertThat(reason, Contains('systemd-boot started'))

    def test_nothing_at_all_is_not_ready_unless_ignored(self):
        host = self.host(command_line=f'{ROOT} {_OURS}')
        self.assertThat(host.ready(), HasLength(1))
        (row,) = host.rows()
        self.assertThat((row.state, row.running), Equals(('unseen', 'given')))
        host.put(
            'etc/kvm-tuning/kvm-tuning.conf',
            f'{IOMMU}[host_prep]\nready_ignores = unseen\n',
        )
        self.assertThat(host.ready(), Equals(()))

    def test_what_only_root_may_read_has_a_row(self):
        host = self.host()
        path = host.entry(ROOT)
        other = host.entry(ROOT, 'bbbb')
        plain_user.hide(f'{host.root}/{path}')
        found = plain_user.answer(
            host.root, lambda: (host.unseen(), list(host.changes()))
        )
        self.assertThat(found[0], Contains(path))
        self.assertThat(found[1], Equals([other]))
        plain_user.hide(f'{host.root}/boot/loader/entries')
        found = plain_user.answer(
            host.root, lambda: (host.unseen(), host.ready())
        )
        self.assertThat(found[0], Contains('boot/loader/entries'))
        self.assertThat(found[1], Not(HasLength(0)))

    def test_titles_in_any_encoding_stay_to_the_byte(self):
        host = self.host()
        path = host.entry(ROOT)
        raw = b'title Gr\xf6\xdfe\noptions ' + ROOT.encode() + b'\n'
        with open(f'{host.root}/{path}', 'wb') as stream:
            stream.write(raw)
        self.comes_and_goes(host)
        host.apply()
        with open(f'{host.root}/{path}', 'rb') as stream:
            self.assertThat(stream.read(), Contains(b'title Gr\xf6\xdfe\n'))

    def test_options_in_another_encoding_have_a_row(self):
        host = self.host()
        path = host.entry(ROOT)
        with open(f'{host.root}/{path}', 'wb') as stream:
            stream.write(b'options ' + ROOT.encode() + b' a=\xf6\n')
        self.assertThat(host.unseen(), Contains('its options are not text'))
        self.assertThat(host.changes(), Equals({}))


class TestDefault(EntriesTest):
    RESCUE = 'boot/loader/entries/aaaa-0-rescue.conf'

    def test_grubs_saved_entry_that_gets_none_is_refused(self):
        for saved in ('aaaa-0-rescue', 'bbbb-6.9.0'):
            host = self.host()
            host.entry(ROOT)
            host.entry('root=UUID=2222 ro', 'bbbb-6.9.0')
            host.put(self.RESCUE, f'options {ROOT}')
            host.put('boot/grub2/grubenv', f'saved_entry={saved}\n')
            self.assertThat(
                host.refusals(),
                Contains(f'{saved}.conf: it is the default entry and starts'),
            )

    def test_systemd_boots_default_that_gets_none_is_refused(self):
        for default, said in (
            ('bbbb*', True),
            ('bbbb-6.9.0.conf', True),
            ('aaaa-*', False),
            ('@saved', False),
        ):
            host = self.host(command_line=f'{_EFI} {ROOT}')
            host.entry(ROOT)
            host.entry('root=UUID=2222 ro', 'bbbb-6.9.0')
            host.put('boot/loader/loader.conf', f'default {default}')
            self.assertThat(
                'the default entry' in host.refusals(), Equals(said), default
            )

    def test_one_of_ours_is_fine(self):
        host = self.host()
        host.entry(ROOT)
        host.put(self.RESCUE, f'options {ROOT}')
        host.put('boot/grub2/grubenv', 'saved_entry=aaaa-6.12.0\n')
        self.assertThat(host.refusals(), Equals(''))


class TestCmdline(EntriesTest):
    TEXT = f'# root on LVM\n{ROOT}\n# iommu=soft was needed until firmware 1.4'

    def test_words_in_comments_are_left_alone(self):
        host = self.host()
        host.entry(ROOT)
        host.put(_CMDLINE, self.TEXT)
        made = self.comes_and_goes(host)
        self.assertThat(
            made[_CMDLINE].splitlines(),
            Equals(
                [
                    '# root on LVM',
                    f'{ROOT} {_OURS}',
                    '# iommu=soft was needed until firmware 1.4',
                ]
            ),
        )

    def test_all_of_it_may_be_comment(self):
        host = self.host()
        host.put(_CMDLINE, '# nothing yet')
        made = self.comes_and_goes(host)
        self.assertThat(made[_CMDLINE], Equals(f'# nothing yet\n{_OURS}\n'))

    def test_an_old_systemd_hands_comments_to_the_kernel(self):
        for version, said in (('252', True), ('257', False), ('260', False)):
            host = self.host()
            host.put(_CMDLINE, self.TEXT)
            host.put(f'usr/lib/systemd/libsystemd-shared-{version}.so', '')
            self.assertThat(
                'passes to the kernel' in host.notes(), Equals(said), version
            )

    def test_alone_it_says_nothing_of_the_next_boot(self):
        host = self.host()
        host.put(_CMDLINE, ROOT)
        host.apply()
        host.booted(_OURS)
        (reason,) = host.ready()
        self.assertThat(reason, Contains('boot loader cannot be seen'))


class TestImages(EntriesTest):
    def image(self, host, text, path='boot/EFI/Linux/arch.efi'):
        full = f'{host.root}/{path}'
        os.makedirs(os.path.dirname(full), exist_ok=True)
        unified_image.write(full, text)
        return path

    def test_one_that_nothing_builds_is_refused(self):
        for partition in ('boot', 'efi', 'boot/efi'):
            host = self.host()
            path = self.image(host, ROOT, f'{partition}/EFI/Linux/a.efi')
            self.assertThat(
                host.refusals(),
                MatchesRegex(f'.*/{path}: its command line is inside'),
            )

    def test_one_that_has_them_is_as_wanted(self):
        host = self.host()
        self.image(host, f'{ROOT} {_OURS}')
        self.assertThat(host.refusals(), Equals(''))
        host.booted(_OURS)
        self.assertThat(host.ready(), Equals(()))

    def test_an_addon_may_bring_them(self):
        for path in ('boot/loader/addons', 'boot/EFI/Linux/arch.efi.extra.d'):
            host = self.host()
            self.image(host, ROOT)
            self.image(host, _OURS, f'{path}/ours.addon.efi')
            self.assertThat(host.refusals(), Equals(''))

    def test_mkinitcpio_builds_it(self):
        host = self.host()
        path = self.image(host, ROOT)
        host.put(_CMDLINE, f'# mine\n{ROOT}')
        host.put('etc/mkinitcpio.d/linux.preset', 'default_uki="/boot/x.efi"')
        made = self.comes_and_goes(host)
        self.assertThat(made[path], Contains(f'{ROOT} {_OURS}'))

    def test_one_that_was_not_built_since_is_not_as_wanted(self):
        host = self.host()
        path = self.image(host, ROOT)
        host.put(_CMDLINE, ROOT)
        host.put('etc/mkinitcpio.d/linux.preset', 'default_uki="/boot/x.efi"')
        host.apply()
        host.booted(_OURS)
        self.assertThat(host.ready(), Equals(()))
        self.image(host, ROOT, path)
        (reason,) = host.ready()
        self.assertThat(reason, Contains('(not copied yet)'))

    def test_another_systems_is_left_alone(self):
        host = self.host()
        self.image(host, f'{ROOT} {_OURS}')
        self.image(host, 'root=UUID=2', 'boot/EFI/Linux/other.efi')
        self.assertThat(host.refusals(), Equals(''))

    def test_what_is_not_one_has_a_row(self):
        for raw in ('', 'MZ', 'MZ' + 'x' * 200):
            host = self.host()
            host.put('boot/EFI/Linux/x.efi', raw)
            self.assertThat(host.unseen(), Contains('is not a unified kernel'))


class TestOstree(EntriesTest):
    def ostree(self, more=''):
        host = self.host()
        host.put(
            'boot/loader.1/entries/ostree-1.conf',
            f'options {ROOT} ostree=/ostree/boot.1/fcos/abc/0{more}',
        )
        os.symlink('loader.1', f'{host.root}/boot/loader')
        return host

    def test_rpm_ostree_is_the_way(self):
        host = self.ostree()
        self.assertThat(
            host.refusals(),
            MatchesRegex('(?s).*rpm-ostree kargs.*intel_iommu=on iommu=pt'),
        )
        self.assertThat(host.changes(), Equals({}))

    def test_what_it_has_set_is_as_wanted(self):
        host = self.ostree(f' {_OURS}')
        self.assertThat(host.refusals(), Equals(''))
        (reason,) = host.ready()
        self.assertThat(reason, Contains('after a reboot'))
        host.booted(_OURS)
        self.assertThat(host.ready(), Equals(()))

    def test_it_is_known_by_its_repository(self):
        host = self.host()
        os.makedirs(f'{host.root}/ostree/repo')
        host.entry(ROOT)
        self.assertThat(host.refusals(), Contains('rpm-ostree kargs'))


class TestCopies(EntriesTest):
    def proxmox(self, **kwargs):
        host = self.host(command_line=f'{_EFI} {ROOT}', **kwargs)
        host.put('etc/kernel/proxmox-boot-uuids', 'AAAA-0001')
        host.put(_CMDLINE, ROOT)
        return host

    def test_proxmox_copies_by_its_tool(self):
        host = self.proxmox()
        (change,) = host.plan().changes
        self.assertThat(
            change.goal.reason,
            Contains('apply then runs proxmox-boot-tool refresh'),
        )
        self.assertThat(host.apply().failed, Equals([]))
        self.assertThat(host.log, Contains('run proxmox-boot-tool'))

    def test_undo_copies_again_and_leaves_nothing(self):
        host = self.proxmox()
        self.comes_and_goes(host)
        self.assertThat(host.log.count('run proxmox-boot-tool'), Equals(2))

    def test_a_text_that_was_not_copied_is_not_promised(self):
        host = self.proxmox()
        host.put(_CMDLINE, f'{ROOT} {_OURS}')
        (row,) = host.rows()
        self.assertThat(row.state, Equals('differs'))
        self.assertThat(row.next_boot, Contains('(not copied yet)'))
        host.apply()
        (row,) = host.rows()
        self.assertThat(row.state, Equals('waits'))
        self.assertThat(row.next_boot, Not(Contains('not copied')))

    def test_the_running_kernel_knows_what_was_copied(self):
        host = self.proxmox()
        host.put(_CMDLINE, f'{ROOT} {_OURS}')
        host.booted(_OURS)
        self.assertThat(host.ready(), Equals(()))

    def test_grubs_menu_is_copied_too(self):
        host = self.proxmox()
        host.grub('')
        self.comes_and_goes(host)

    def test_killed_before_the_copy_it_is_copied_again(self):
        origin = self.proxmox()
        scratch = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path

        def make(root, point):
            host = booted_host.FakeKernel(root, kill_at=point)
            host.missing = ()
            return host

        def apply(host):
            items = booted_host.whole_host.items(host.root)
            return prepared.apply(host, items)

        points = 0
        for point, root in killed.each_point(
            origin.root, scratch, make, apply
        ):
            again = make(root, None)
            apply(again)
            tree = again.tree()
            value = again.get(_CMDLINE)
            self.assertThat(
                sequels.is_copied(tree, _CMDLINE, value), Equals(True), point
            )
            self.assertThat(value, Contains(_OURS))
            points += 1
        self.assertThat(points > 3, Equals(True))

    def test_a_tool_that_is_not_there_is_refused_in_the_plan(self):
        host = self.proxmox()
        host.put('bin/sh', '')
        self.assertThat(
            host.refusals(), Contains('the program proxmox-boot-tool')
        )

    def test_ibm_z_takes_zipl(self):
        host = self.host(command_line=f'{ROOT} BOOT_IMAGE=0')
        host.put('etc/zipl.conf', '[defaultboot]\ntarget=/boot')
        path = host.entry(ROOT)
        host.run(['zipl'])
        made = self.comes_and_goes(host)
        self.assertThat(made['boot/bootmap'], Contains(_OURS))
        self.assertThat(host.log.count('run zipl'), Equals(3))
        host.entry(f'{ROOT} {_OURS}')
        self.assertThat(list(host.changes()), Equals([path]))

    def test_ibm_z_without_entries_is_refused(self):
        host = self.host(command_line=f'{ROOT} BOOT_IMAGE=0')
        text = '[ubuntu]\nimage=/boot/vmlinuz\nparameters = "{}"'
        host.put('etc/zipl.conf', text.format(ROOT))
        self.assertThat(host.refusals(), Contains('/etc/zipl.conf: add'))
        host.put('etc/zipl.conf', text.format(f'{ROOT} {_OURS}'))
        self.assertThat(host.refusals(), Equals(''))
