"""udev's own choice of the .link file of each interface."""

import json
from pathlib import Path
import subprocess
import sys

from testtools.matchers import Equals

from kvm_tuning.host.prep.groups.sriov import link_files
from tests.judges import link_judge
from tests.judges.base import COUNT, JudgeTest, port

_DIRECTORIES = (link_judge.ETC, link_judge.RUN)
_NAMES = ('10-a.link', '20-b.link', 'c.link', '99-default.link')


class TestLinkFiles(JudgeTest):
    programs = ('udevadm', 'unshare', 'ip')
    root_only = True

    def build(self, root: Path) -> None:
        # What the machine itself has counts, too.
        for file in Path('/usr/lib/systemd/network').glob('*.link'):
            copy = root / str(file).lstrip('/')
            self.put(copy, file.read_text())
        for place in _DIRECTORIES:
            home = root / place.lstrip('/')
            for name in _NAMES:
                chance = self.random.random()
                if chance < 0.4:
                    self.put(home / name, self.text())
                elif chance < 0.5:
                    home.mkdir(parents=True, exist_ok=True)
                    (home / name).symlink_to('/dev/null')
                elif chance < 0.55:
                    self.put(home / name, '')
                if self.random.random() < 0.1:
                    self.put(home / f'{name}.d/x.conf', self.text())

    def text(self) -> str:
        lines = [self.maybe('# [Match]', 0.1), '[Match]']
        for _number in range(self.random.randint(0, 3)):
            lines += [self.match()]
        return '\n'.join([*lines, '[Link]', 'Description=x']) + '\n'

    def match(self) -> str:
        macs = list(link_judge.INTERFACES.values())
        mac = self.some(*macs)
        mac = self.some(
            mac,
            mac.upper(),
            mac.replace(':', '-'),
            f'{mac} {self.some(*macs)}',
            '',
        )
        return self.some(
            f'MACAddress={mac}',
            'OriginalName=' + self.some('tap0', 'tap*', 'tap[12] eth*', ''),
            'OriginalName=!'
            + self.some('tap1', 'tap[^0]', 'tap2 tap3', 'eth*'),
            'Driver=' + self.some('tun', '!tun', 'igb', 't?n', 'igb tun'),
            'Type=' + self.some('ether', '!ether', 'wlan'),
            'Property=INTERFACE=' + self.some('tap0', 'tap*', 'eth0'),
            'OriginalName=tap0 \\\n  tap3',
            'NoSuchKey=1',
        )

    def test_which_one_is_applied(self) -> None:
        cases = self.home / 'cases'
        count = COUNT // len(link_judge.INTERFACES)
        for number in range(count):
            self.build(cases / str(number))
        judged = json.loads(
            subprocess.run(
                [
                    *('unshare', '--net', '--mount'),
                    *(sys.executable, link_judge.__file__, str(cases)),
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for number, wanted in enumerate(judged):
            root = cases / str(number)
            host = self.host(root)
            for name, mac in link_judge.INTERFACES.items():
                found = link_files.applied(host, port(name, mac, 'tun'))
                self.assertThat(found, Equals(wanted[name]), f'{root} {name}')
