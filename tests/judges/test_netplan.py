"""netplan's own count of the VFs of each port."""

import json
from pathlib import Path
import subprocess

from testtools.matchers import Contains, Equals, GreaterThan, LessThan

from kvm_tuning.host.prep.groups.sriov import netplan
from tests.judges.base import COUNT, MACS, JudgeTest, port

_JUDGE = Path(__file__).with_name('netplan_judge.py')
_PYTHON = '/usr/bin/python3'
_DRIVERS = ('igb', 'i40e', 'igb', 'mlx5_core')


class TestNetplan(JudgeTest):
    programs = ('netplan',)

    def setUp(self) -> None:
        super().setUp()
        self.interfaces = {
            f'eth{number}': (mac, driver)
            for number, (mac, driver) in enumerate(
                zip(MACS, _DRIVERS, strict=True)
            )
        }

    def build(self, root: Path) -> None:
        for name in self.interfaces:
            (root / 'sys/class/net' / name).mkdir(parents=True)
        for directory in ('etc/netplan', 'run/netplan', 'lib/netplan'):
            for name in ('10-a.yaml', '50.yaml', 'z.yaml', '60.yaml.bak'):
                if self.random.random() < 0.25:
                    self.put(root / directory / name, self.text())

    def text(self) -> str:
        names = [n for n in ('eth0', 'eth1', 'lan', 'wan') if self.maybe('x')]
        lines = [
            line
            for name in names
            for line in (f'    {name}:', *self.body(name))
        ]
        # A link must be to something that the files define.
        for number in range(self.random.randint(0, 2) if names else 0):
            lines += [f'    vf{number}:', f'      link: {self.some(*names)}']
        head = ['network:', '  version: 2', '  ethernets:']
        return '\n'.join([*head, *lines]) + '\n' if lines else 'network: {}\n'

    def body(self, name: str) -> list[str]:
        lines = ['      dhcp4: false']
        if name in ('lan', 'wan'):
            match = [
                f'        macaddress: {self.some(*MACS)}',
                f'        name: "{self.some("eth0", "eth*", "eth[12]")}"',
                f'        driver: {self.some("igb", "mlx5*")}',
            ]
            self.random.shuffle(match)
            kept = match[: self.random.randint(1, 2)]
            lines += ['      match:', *kept]
            if any('macaddress' in line for line in kept):
                lines += [
                    self.maybe(f'      set-name: {self.some("eth2", name)}')
                ]
        count = self.random.randint(1, 9)
        lines += [self.maybe(f'      virtual-function-count: {count}')]
        return [line for line in lines if line]

    def test_as_it_counts_them(self) -> None:
        cases = []
        for number in range(COUNT):
            root = self.home / str(number)
            (root / 'etc').mkdir(parents=True)
            self.build(root)
            cases.append([str(root), self.interfaces])
        judged = json.loads(
            subprocess.run(
                [_PYTHON, str(_JUDGE)],
                input=json.dumps(cases),
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        taken = several = 0
        for (root, _interfaces), wanted in zip(cases, judged, strict=True):
            if isinstance(wanted, str):
                # netplan refuses the files: it sets nothing.
                continue
            taken += 1
            found = self.found(Path(root))
            self.assertThat(found.keys(), Equals(wanted.keys()), root)
            for name, counts in found.items():
                # Of several definitions of one port netplan takes any.
                self.assertThat(counts, Contains(wanted[name]), root)
                several += len(counts) > 1
        self.assertThat(taken, GreaterThan(COUNT // 2))
        self.assertThat(several, LessThan(COUNT // 4))

    def found(self, root: Path) -> dict[str, set[int | None]]:
        host = self.host(root)
        counts: dict[str, set[int | None]] = {}
        for name, (mac, driver) in self.interfaces.items():
            for owner in netplan.find(host, port(name, mac, driver)):
                counts.setdefault(name, set()).add(owner.count)
        return counts
