"""Kernel arguments through GRUB's menu: what it is made of, and what is in
it.
"""

import os

import fixtures
import testtools
from testtools.matchers import Contains, Equals, HasLength, Not

from tests.fixtures import booted_host, killed, plain_user, prepared
from tests.fixtures.booted_host import CPUS, IOMMU, ISOLATION, PAGES

_DROP_IN = 'etc/default/grub.d/kvm-tuning.cfg'
_USUAL = 'GRUB_CMDLINE_LINUX_DEFAULT'
_ISOLCPUS = ISOLATION.format('isolcpus')
_OURS = f'isolcpus={CPUS}'


class GrubTest(testtools.TestCase):
    def host(self, text=IOMMU, **kwargs):
        root = self.useFixture(fixtures.TempDir(killed.SCRATCH)).path
        return booted_host.BootedHost(root, text, **kwargs)

    def menu(self, host, path='boot/grub/grub.cfg'):
        lines = host.get(path).splitlines()
        return next(line for line in lines if 'linux' in line)

    def comes_through(self, host, words, menu='boot/grub/grub.cfg'):
        """See that nothing is refused, and apply puts it into the menu."""
        self.assertThat(host.refusals() + host.unseen(), Equals(''))
        self.assertThat(host.ready(), Not(HasLength(0)))
        done = host.apply()
        self.assertThat(done.failed, Equals([]))
        self.assertThat(self.menu(host, menu), Contains(f' {words}'))
        self.assertThat(host.changes(), Equals({}))


class TestOthersBeforeOurs(GrubTest):
    def test_a_drop_in_takes_the_operators_out(self):
        host = self.host(_ISOLCPUS)
        host.grub(
            f'{_USUAL}="quiet isolcpus=1-3"',
            **{'50-cloud': f'{_USUAL}="console=tty1"'},
        )
        self.comes_through(host, f'console=tty1 {_OURS}')

    def test_one_that_is_unset(self):
        host = self.host(_ISOLCPUS)
        host.grub(f'{_USUAL}="isolcpus=1-3"\nunset {_USUAL}\n')
        self.comes_through(host, _OURS)

    def test_one_in_a_comment_or_another_variable(self):
        host = self.host(_ISOLCPUS)
        host.grub(
            f'# {_USUAL}="isolcpus=1-3"\nGRUB_CMDLINE_XEN="isolcpus=1-3"\n'
            f'{_USUAL}=quiet  # GRUB_CMDLINE_LINUX="isolcpus=2"'
        )
        self.comes_through(host, f'quiet {_OURS}')

    def test_several_drop_ins_add(self):
        host = self.host()
        host.grub(
            f'{_USUAL}="quiet"',
            **{
                '50-cloudimg-settings': f'{_USUAL}="console=ttyS0"',
                'kdump-tools': f'{_USUAL}="${_USUAL} crashkernel=320M"',
            },
        )
        self.comes_through(
            host, 'console=ttyS0 crashkernel=320M intel_iommu=on iommu=pt'
        )

    def test_without_the_usual_variable(self):
        host = self.host()
        host.grub('GRUB_CMDLINE_LINUX="console=ttyS0"')
        self.comes_through(host, 'console=ttyS0 intel_iommu=on iommu=pt')
        self.assertThat(self.menu(host), Not(Contains('None')))

    def test_one_that_stays_is_named(self):
        for text in (
            'GRUB_CMDLINE_LINUX="isolcpus=1-3"',
            "GRUB_CMDLINE_LINUX='quiet 'isolcpus=1-3",
            'A=isolcpus=1-3\nexport GRUB_CMDLINE_LINUX="x ${A}"',
            f'{_USUAL}="quiet \\\nisolcpus=1-3"',
        ):
            host = self.host(_ISOLCPUS)
            host.grub(text)
            self.assertThat(
                host.refusals(),
                Contains(
                    '/etc/default/grub: it sets isolcpus=1-3, and the kernel '
                    'takes only the first isolcpus'
                ),
            )
            self.assertThat(host.apply().changed, Equals([]))

    def test_the_drop_in_that_brought_it_is_named(self):
        host = self.host(_ISOLCPUS)
        host.grub(
            'GRUB_CMDLINE_LINUX="quiet"',
            **{'10-rt': 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX isolcpus=2"'},
        )
        self.assertThat(host.refusals(), Contains('/10-rt.cfg: it sets'))

    def test_the_same_cpus_in_other_words_are_as_wanted(self):
        host = self.host(_ISOLCPUS)
        host.grub('GRUB_CMDLINE_LINUX="isolcpus=domain,1,2,3,5,6,7"')
        self.comes_through(host, _OURS)


class TestOthersAfterOurs(GrubTest):
    def test_one_that_drops_ours_is_refused_before_anything_is_written(self):
        for text in (f'{_USUAL}="console=ttyS1"', f'unset {_USUAL}'):
            host = self.host(_ISOLCPUS)
            host.grub(f'{_USUAL}="quiet"', **{'zz-serial': text})
            before = prepared.snapshot(host.root)
            self.assertThat(
                host.refusals(), Contains('/etc/default/grub.d/zz-serial.cfg')
            )
            host.apply()
            self.assertThat(prepared.snapshot(host.root), Equals(before))

    def test_one_that_adds_the_same_argument(self):
        host = self.host()
        host.grub('', **{'zz': f'{_USUAL}="${_USUAL} iommu=off"'})
        self.assertThat(
            host.refusals(),
            Contains('/zz.cfg: it sets iommu=off after ours, and the kernel'),
        )

    def test_one_that_adds_something_else(self):
        host = self.host()
        host.grub('', **{'zz': f'{_USUAL}="${{{_USUAL}}} quiet"'})
        self.comes_through(host, 'intel_iommu=on iommu=pt quiet')

    def test_one_that_the_shell_does_not_match(self):
        host = self.host()
        host.grub('')
        host.put('etc/default/grub.d/.zz.cfg', f'{_USUAL}=lost')
        host.put('etc/default/grub.d/zz.cfg.dpkg-old', f'{_USUAL}=lost')
        self.comes_through(host, 'intel_iommu=on iommu=pt')


class TestNotUnderstood(GrubTest):
    def test_what_may_do_anything_has_a_row(self):
        for text in (
            'if [ -e /x ]; then GRUB_CMDLINE_LINUX=isolcpus=1; fi',
            '. /etc/site/grub',
            f'{_USUAL}="$(cat /etc/site/arguments)"',
            f'{_USUAL}+=" quiet"',
        ):
            host = self.host()
            os.makedirs(f'{host.root}/boot/grub')
            host.put('etc/default/grub', text)
            host.put('boot/grub/grub.cfg', 'menuentry a { linux /l ro quiet }')
            self.assertThat(host.unseen(), Contains('cannot be understood'))
            self.assertThat(host.changes(), Equals({}))
            self.assertThat([r.state for r in host.rows()], Equals(['unseen']))
            (reason,) = host.ready()
            self.assertThat(reason, Contains('etc/default/grub'))

    def test_what_only_asks_for_a_name_is_fine(self):
        for text in (
            'GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`',
            'GRUB_DISTRIBUTOR=$( . /etc/os-release; echo ${NAME:-Debian} )',
            'GRUB_DISTRIBUTOR="$(sed \'s/"//g; s, rel.*$,,\' /etc/passwd)"',
        ):
            host = self.host()
            host.grub(text)
            self.comes_through(host, 'intel_iommu=on iommu=pt')

    def test_any_encoding(self):
        for raw in (
            b'# Gr\xf6\xdfe siehe Ticket\n',
            b'GRUB_DISTRIBUTOR="Ger\xe4t \xff"\n',
            b'GRUB_DISTRIBUTOR="\xe6\x97\xa5"\n',
        ):
            host = self.host()
            host.grub('')
            with open(f'{host.root}/etc/default/grub', 'wb') as stream:
                stream.write(raw + f'{_USUAL}="quiet"\n'.encode())
            self.comes_through(host, 'quiet intel_iommu=on iommu=pt')

    def test_sixteen_bits_are_not_a_shell_file(self):
        host = self.host()
        host.grub('')
        with open(f'{host.root}/etc/default/grub', 'wb') as stream:
            stream.write(f'{_USUAL}="quiet"\n'.encode('utf-16'))
        self.assertThat(host.unseen(), Contains('it is not a text'))


class TestOtherPlaces(GrubTest):
    def suse(self, text=IOMMU, mkconfig='#!/bin/sh'):
        host = self.host(text)
        host.put('usr/sbin/grub2-mkconfig', mkconfig)
        host.put('etc/default/grub', f'{_USUAL}="quiet"')
        host.run(['grub2-mkconfig', '-o', '/boot/grub2/grub.cfg'])
        return host

    def test_where_no_drop_in_is_read_it_is_a_line(self):
        host = self.suse(_ISOLCPUS)
        before = prepared.snapshot(host.root)
        self.comes_through(host, f'quiet {_OURS}', 'boot/grub2/grub.cfg')
        self.assertThat(host.get('etc/default/grub'), Contains(_OURS))
        done = prepared.take_back(host)
        self.assertThat(done.failed, Equals([]))
        found = prepared.snapshot(host.root)
        self.assertThat(prepared.differences(found, before), Equals({}))

    def test_a_line_without_its_end(self):
        host = self.suse()
        with open(f'{host.root}/etc/default/grub', 'w') as stream:
            stream.write('GRUB_TIMEOUT=1')
        host.run(['grub2-mkconfig', '-o', '/boot/grub2/grub.cfg'])
        before = prepared.snapshot(host.root)
        self.comes_through(host, 'intel_iommu=on', 'boot/grub2/grub.cfg')
        prepared.take_back(host)
        found = prepared.snapshot(host.root)
        self.assertThat(prepared.differences(found, before), Equals({}))

    def test_a_change_of_ours_replaces_the_line(self):
        host = self.suse(_ISOLCPUS)
        host.apply()
        host.put('etc/kvm-tuning/kvm-tuning.conf', IOMMU)
        self.comes_through(host, 'intel_iommu=on', 'boot/grub2/grub.cfg')
        self.assertThat(
            host.get('etc/default/grub'), Not(Contains('isolcpus'))
        )

    def test_arch_has_no_update_grub(self):
        host = self.host()
        for name in ('sh', 'grub-mkconfig'):
            host.put(f'usr/bin/{name}', 'for x in default/grub.d/*.cfg')
        host.grub('')
        self.comes_through(host, 'intel_iommu=on iommu=pt')
        self.assertThat(host.log, Contains('run grub-mkconfig'))

    def test_a_program_that_is_not_there_is_refused_in_the_plan(self):
        host = self.host()
        host.grub('')
        host.put('bin/sh', '')
        self.assertThat(
            host.refusals(), Contains('the program update-grub, which')
        )

    def test_a_menu_by_hand_is_its_authors(self):
        host = self.host()
        host.put(
            'boot/grub/grub.cfg', 'menuentry a { linux /l root=/dev/vda }'
        )
        self.assertThat(host.refusals(), Contains('add intel_iommu=on iommu'))
        self.assertThat(host.changes(), Equals({}))
        host.put(
            'boot/grub/grub.cfg',
            'menuentry a { linux /l root=/dev/vda intel_iommu=on iommu=pt }',
        )
        self.assertThat(host.refusals(), Equals(''))
        host.booted('intel_iommu=on iommu=pt')
        self.assertThat(host.ready(), Equals(()))


class TestMenu(GrubTest):
    def test_a_stale_one_is_seen(self):
        host = self.host()
        host.grub(f'{_USUAL}="quiet"')
        host.apply()
        host.booted('intel_iommu=on iommu=pt')
        self.assertThat(host.ready(), Equals(()))
        host.put('boot/grub/grub.cfg', 'menuentry a { linux /l ro quiet }')
        (reason,) = host.ready()
        self.assertThat(reason, Contains('(not in the menu yet)'))
        os.unlink(f'{host.root}/boot/grub/grub.cfg')
        self.assertThat(host.ready(), Not(Equals(())))

    def test_a_default_that_gets_none_is_refused(self):
        for default in ('"mine"', '"2"', '"${saved_entry}"', '"1>0"'):
            host = self.host()
            host.grub('')
            host.apply()
            host.put('boot/grub/grubenv', 'saved_entry=mine\n####')
            menu = host.get('boot/grub/grub.cfg')
            submenu = 'submenu more { menuentry rescue { linux /l single } }\n'
            entry = 'menuentry mine --id mine { linux /m root=/dev/vda }'
            first, rest = menu.split('\nmenuentry rescue')
            if '>' not in default:
                submenu = f'menuentry rescue{rest}\n'
            host.put(
                'boot/grub/grub.cfg',
                f'load_env\nset default={default}\n{first}\n{submenu}'
                f'### BEGIN /etc/grub.d/40_custom ###\n{entry}',
            )
            self.assertThat(
                host.refusals(), Contains('its default entry is'), default
            )

    def test_a_default_of_ours_is_fine(self):
        for default in ('"0"', '""', '"${saved_entry}"', '"Debian"'):
            host = self.host()
            host.grub('')
            host.apply()
            menu = host.get('boot/grub/grub.cfg')
            host.put('boot/grub/grub.cfg', f'set default={default}\n{menu}')
            self.assertThat(host.refusals(), Equals(''), default)

    def test_one_of_mode_0600_has_a_row(self):
        host = self.host()
        line = f'{_USUAL}="${_USUAL} intel_iommu=on iommu=pt"'
        host.grub('', **{'kvm-tuning': line})
        plain_user.hide(f'{host.root}/boot/grub/grub.cfg')
        found = plain_user.answer(
            host.root,
            lambda: (
                host.unseen(),
                host.ready(),
                [r.state for r in host.rows()],
            ),
        )
        self.assertThat(found[0], Contains('Permission denied'))
        self.assertThat(found[1][0], Contains('Permission denied'))
        self.assertThat(found[2], Equals(['unseen']))

    def test_huge_pages_twice(self):
        host = self.host(PAGES)
        pages = 'hugepagesz=1G hugepages=4'
        host.grub(f'GRUB_CMDLINE_LINUX="default_hugepagesz=1G {pages}"')
        self.assertThat(
            host.refusals(),
            Contains(f'/etc/default/grub: it sets {pages}, and the kernel'),
        )

    def test_tuned_comes_first(self):
        host = self.host(_ISOLCPUS)
        host.grub(f'{_USUAL}="quiet \\$tuned_params"')
        host.put('boot/grub/grubenv', 'tuned_params=isolcpus=1-3\n###')
        menu = host.get('boot/grub/grub.cfg')
        host.put('boot/grub/grub.cfg', f'load_env\n{menu}')
        self.assertThat(
            host.refusals(),
            Contains('TuneD ($tuned_params) sets isolcpus=1-3'),
        )

    def test_a_variable_that_only_grub_knows(self):
        host = self.host()
        host.grub('GRUB_CMDLINE_LINUX="\\$mode"')
        menu = host.get('boot/grub/grub.cfg')
        host.put(
            'boot/grub/grub.cfg', f'if keystatus; then mode=1; fi\n{menu}'
        )
        self.assertThat(host.unseen(), Contains('only GRUB knows: mode'))
