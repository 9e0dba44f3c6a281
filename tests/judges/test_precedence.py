"""systemd's own order of files in directories that hide one another."""

from pathlib import Path
import subprocess

from testtools.matchers import Equals

from kvm_tuning.host.prep.writers import precedence
from tests.judges.base import COUNT, JudgeTest

_BASES = ('etc', 'run', 'usr/local/lib', 'usr/lib')


class TestOrder(JudgeTest):
    programs = ('systemd-tmpfiles',)

    def build(self, root: Path) -> None:
        for base in _BASES:
            home = root / base / 'tmpfiles.d'
            home.mkdir(parents=True)
            for name in ('10.conf', '9.conf', 'B.conf', 'a.conf', 'x.cfg'):
                chance = self.random.random()
                if chance < 0.4:
                    self.put(home / name, f'# {base} {name}')
                elif chance < 0.5:
                    (home / name).symlink_to('/dev/null')

    def test_as_systemd_sorts_them(self) -> None:
        for number in range(COUNT // 4):
            root = self.home / str(number)
            self.build(root)
            text = subprocess.run(
                ['systemd-tmpfiles', f'--root={root}', '--cat-config'],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            wanted = [
                path.removeprefix(f'{root}/')
                for line in text.splitlines()
                if (path := line.removeprefix('# ')).startswith(f'{root}/')
                and Path(path).stat().st_size
            ]
            found = precedence.files(
                self.host(root).tree, precedence.below('tmpfiles.d'), '.conf'
            )
            self.assertThat(list(found.values()), Equals(wanted), str(root))
