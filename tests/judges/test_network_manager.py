"""NetworkManager's own readers of its configuration and of its profiles."""

import configparser
from pathlib import Path
import subprocess

from testtools.matchers import Equals

from kvm_tuning.host.prep.groups.sriov import network_manager_conf as conf
from tests.judges.base import COUNT, MACS, JudgeTest

_QUIET = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C'}


class TestConfiguration(JudgeTest):
    programs = ('NetworkManager',)

    def build(self, root: Path) -> None:
        base = root / 'etc/NetworkManager'
        self.put(base / 'NetworkManager.conf', self.text())
        for directory in (
            base / 'conf.d',
            root / 'usr/lib/NetworkManager/conf.d',
        ):
            directory.mkdir(parents=True)
            for name in ('10.conf', '20-b.conf', 'x.conf', 'a.conf.bak'):
                if self.random.random() < 0.6:
                    self.put(directory / name, self.text())

    def text(self) -> str:
        lines = []
        for _number in range(self.random.randint(0, 3)):
            name = self.some(
                'device', 'device-a', 'device-b', 'main', 'device.c'
            )
            lines += [f'[{name}]']
            if name != 'main':
                lines += [
                    self.maybe(f'match-device={self.match()}'),
                    self.maybe(
                        self.some('', '  ')
                        + 'sriov-num-vfs'
                        + self.some('=', ' = ', '= ')
                        + str(self.random.randint(0, 63))
                    ),
                    self.maybe('managed=' + self.some('0', '1', 'yes'), 0.2),
                    self.maybe('stop-match=yes', 0.2),
                    self.maybe('# sriov-num-vfs=9', 0.2),
                ]
        return '\n'.join(lines) + '\n'

    def match(self) -> str:
        return self.some(
            'interface-name:eth0',
            'interface-name:~eth*,except:eth1',
            f'mac:{MACS[0]}',
            '*',
            'driver:igb;type:ethernet',
        )

    def test_as_it_merges_them(self) -> None:
        for number in range(COUNT // 2):
            root = self.home / str(number)
            self.build(root)
            wanted = self.judged(root)
            found = conf.read(self.host(root).tree).sections
            ours = {
                name: keys
                for name, keys in found.items()
                if name.startswith('device') and keys
            }
            self.assertThat(ours, Equals(wanted), str(root))

    def judged(self, root: Path) -> conf.Sections:
        base = root / 'etc/NetworkManager'
        done = subprocess.run(
            [
                'NetworkManager',
                '--print-config',
                *('--config', str(base / 'NetworkManager.conf')),
                *('--config-dir', str(base / 'conf.d')),
                *(
                    '--system-config-dir',
                    str(root / 'usr/lib/NetworkManager/conf.d'),
                ),
                *('--intern-config', str(root / 'intern')),
            ],
            check=True,
            capture_output=True,
            text=True,
            env=_QUIET,
        )
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(done.stdout)
        return {
            name: dict(parser[name])
            for name in parser.sections()
            if name.startswith('device') and parser[name]
        }


class TestProfiles(JudgeTest):
    programs = ('nmcli',)

    def text(self) -> str:
        mac = self.some(*MACS)
        mac = self.some(mac, mac.upper(), mac.replace(':', '-'))
        equals = self.some('=', ' = ', '=  ')
        return '\n'.join(
            [
                self.maybe('# a comment'),
                '[connection]',
                'id=a',
                'uuid=5f3c2a3e-2d3a-4baf-b7a4-6e6d1f217e39',
                'type=' + self.some('ethernet', '802-3-ethernet'),
                self.maybe(f'interface-name{equals}eth{self.some("0", "1")}'),
                '',
                self.some('[ethernet]', '[802-3-ethernet]'),
                self.maybe(f'{self.some("", "  ")}mac-address{equals}{mac}'),
                self.maybe('#mac-address=00:00:00:00:00:09'),
                self.maybe(
                    f'[sriov]\n{self.maybe("#")}total-vfs{equals}'
                    f'{self.random.randint(0, 63)}\n'
                    + self.maybe('autoprobe-drivers=0')
                ),
                self.maybe('[connection]\nautoconnect=false'),
            ]
        )

    def test_as_it_reads_them(self) -> None:
        path = self.home / 'a.nmconnection'
        for _number in range(COUNT // 2):
            text = self.text()
            path.write_text(text)
            done = subprocess.run(
                [
                    *('nmcli', '--offline', 'connection', 'modify'),
                    *('connection.autoconnect-priority', '7'),
                ],
                input=text,
                check=True,
                capture_output=True,
                text=True,
                env=_QUIET,
            )
            wanted = self.home / 'wanted'
            wanted.write_text(done.stdout)
            tree = self.host(self.home).tree
            self.assertThat(
                self.seen(conf.keyfile(tree, path.name)),
                Equals(self.seen(conf.keyfile(tree, wanted.name))),
                text,
            )

    def seen(self, profile: conf.Sections) -> tuple[object, ...]:
        wired = {
            **profile.get('802-3-ethernet', {}),
            **profile.get('ethernet', {}),
        }
        sriov = profile.get('sriov')
        mac = wired.get('mac-address', '').lower().replace('-', ':')
        return (
            profile['connection'].get('interface-name'),
            mac,
            None if sriov is None else sriov.get('total-vfs', '0'),
        )
