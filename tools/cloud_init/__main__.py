"""What tests/cloud_init needs: Debian's own cloud-init, in roots of its own.

    python tools/cloud_init           make what is missing or out of date

Makes, in .cache/cloud-init (or in $KVM_TUNING_CACHE/cloud-init):

    root-SUITE      Debian with its cloud-init, unpacked
    wheels-SUITE    the project's wheel, and what it requires, for its Python
    guest           kernel, initrd and disk of a guest, from the newest root

It needs root, and Debian's packages of bindep.txt's profile "cloud_init".
"""

import hashlib
import lzma
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time

HERE = Path(__file__).resolve().parent
sys.path[0] = str(Path(__file__).resolve().parents[2])
from tools.lib import debian
from tools.lib.checkout import TOP, ToolError, made_in, wheel

DISK_SIZE = 3 << 30

#: The Python of each suite that is tested.
SUITES = {'bookworm': '3.11', 'trixie': '3.13'}
#: The suite of the guest.
GUEST = 'trixie'
PACKAGES = ('cloud-init', 'python3-venv', 'systemd')
GUEST_PACKAGES = (
    'linux-image-cloud-amd64', 'systemd-sysv', 'udev', 'kmod', 'ethtool',
    'iproute2', 'irqbalance',
)  # fmt: skip

# Slow under emulation, and of no use here.
_MASKED = (
    'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer',
    'e2scrub_all.timer', 'fstrim.timer', 'ldconfig.service',
    'systemd-networkd-wait-online.service', 'getty@tty1.service',
    'systemd-pcrphase.service', 'systemd-pcrphase-sysinit.service',
    'systemd-binfmt.service', 'systemd-networkd.service',
    'systemd-networkd.socket', 'proc-sys-fs-binfmt_misc.automount',
    'serial-getty@ttyS0.service', 'systemd-journal-catalog-update.service',
    'systemd-tpm2-setup.service', 'systemd-tpm2-setup-early.service',
)  # fmt: skip

# All others are masked: systemd gives them 90 seconds together.
_GENERATORS = ('cloud-init-generator', 'systemd-fstab-generator')

_INIT = """\
#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
for module in /modules/*; do /bin/busybox insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 3000 ]; do
  /bin/busybox sleep 0.1
  tries=$((tries + 1))
done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root
for name in dev proc sys; do
  /bin/busybox mount -o move /$name /root/$name
done
exec /bin/busybox switch_root /root /sbin/init
"""


def folder() -> Path:
    """Return the folder of everything that is made here."""
    return made_in('cloud-init')


def tool(*command: str | Path) -> None:
    """Run a command; end with its last words when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=debian.DEADLINE,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        sys.exit(f'{command[0]} failed ({done.returncode}): {words}')


def fresh(target: Path, *things: str | Path) -> bool:
    """Return whether ``target`` was made from ``things``; else remove it."""
    made = hashlib.sha256()
    for thing in things:
        content = thing.encode() if isinstance(thing, str) else None
        made.update(content or Path(thing).read_bytes())
    stamp = target.with_name(target.name + '.stamp')
    wanted = made.hexdigest()
    if target.exists() and stamp.exists() and stamp.read_text() == wanted:
        return True
    stamp.unlink(missing_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    target.with_name(target.name + '.wanted').write_text(wanted)
    return False


def done(target: Path, begun: float) -> None:
    """Note that ``target`` is whole."""
    wanted = target.with_name(target.name + '.wanted')
    wanted.rename(target.with_name(target.name + '.stamp'))
    seconds = time.monotonic() - begun
    print(f'cloud-init: {target.name} in {seconds:.0f} s', flush=True)


def root(suite: str) -> Path:
    """Return an unpacked Debian with its cloud-init."""
    target = folder() / f'root-{suite}'
    packages = PACKAGES + (GUEST_PACKAGES if suite == GUEST else ())
    if fresh(target, suite, *packages):
        return target
    begun = time.monotonic()
    debian.unpack(suite, packages, target)
    done(target, begun)
    return target


def wheels(suite: str) -> Path:
    """Return a folder with the project's wheel and what it requires."""
    target = folder() / f'wheels-{suite}'
    pip = (sys.executable, '-m', 'pip', '--quiet',
           '--disable-pip-version-check')  # fmt: skip
    if not fresh(target, suite, TOP / 'requirements.txt'):
        begun = time.monotonic()
        tool(
            *pip, 'download', '--only-binary=:all:', '--python-version',
            SUITES[suite], '--platform', 'manylinux2014_x86_64',
            '--platform', 'manylinux_2_28_x86_64', '--dest', target,
            '-r', TOP / 'requirements.txt',
        )  # fmt: skip
        done(target, begun)
    for old in target.glob('kvm_tuning-*'):
        old.unlink()
    shutil.copy(wheel(folder() / 'wheel'), target)
    return target


def initrd(tree: Path, target: Path, release: str) -> None:
    """Make an initramfs of busybox and what the root disk needs: Debian's own
    takes minutes, and udev's patience, on a busy machine.
    """
    small = target / 'small'
    for name in ('bin', 'dev', 'proc', 'sys', 'root', 'modules'):
        (small / name).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as home:
        tool('sh', '-c', f'cd {home} && apt-get -qq download busybox-static '
             f'2>&1 && dpkg-deb -x busybox-static*.deb .')  # fmt: skip
        (busybox,) = Path(home).glob('**/bin/busybox')
        shutil.copy(busybox, small / 'bin/busybox')
    (small / 'bin/sh').symlink_to('busybox')
    listed = subprocess.run(
        ['chroot', tree, 'modprobe', '-S', release, '--show-depends', '-a',
         'virtio_pci', 'virtio_blk', 'ext4'],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    paths = [line.split()[1] for line in listed.splitlines()
             if line.startswith('insmod ')]  # fmt: skip
    for number, path in enumerate(dict.fromkeys(paths)):
        source = tree / path.lstrip('/')
        content = source.read_bytes()
        if source.suffix == '.xz':
            content = lzma.decompress(content)
        name = f'{number:02d}-{source.name.removesuffix(".xz")}'
        (small / 'modules' / name).write_bytes(content)
    (small / 'init').write_text(_INIT)
    (small / 'init').chmod(0o755)
    tool('sh', '-c', f'cd {small} && find . | cpio -o -H newc -R 0:0 --quiet '
         f'| gzip -1 >../initrd')  # fmt: skip
    shutil.rmtree(small)


def guest() -> Path:
    """Return the folder of a guest: ``vmlinuz``, ``initrd``, ``disk.img``."""
    source = root(GUEST)
    target = folder() / 'guest'
    overlay = HERE / 'guest'
    files = [path for path in sorted(overlay.rglob('*')) if path.is_file()]
    if fresh(target, Path(__file__), *files):
        return target
    begun = time.monotonic()
    tree = target / 'tree'
    tree.parent.mkdir()
    tool('cp', '-a', source, tree)
    tool('cp', '-r', '--no-preserve=ownership', f'{overlay}/.', tree)
    for words in (
        ('systemctl', '-q', 'mask', *_MASKED),
        (
            'systemctl',
            '-q',
            'enable',
            'untuned.service',
            'last-look.service',
        ),
        ('systemctl', '-q', 'disable', 'irqbalance'),
        ('passwd', '-q', '-d', 'root'),
    ):
        tool('chroot', tree, *words)
    generators = tree / 'etc/systemd/system-generators'
    generators.mkdir()
    for each in (tree / 'usr/lib/systemd/system-generators').iterdir():
        if each.name not in _GENERATORS:
            (generators / each.name).symlink_to('/dev/null')
    for name in ('etc/.updated', 'var/.updated'):
        (tree / name).touch()
    (kernel,) = (tree / 'boot').glob('vmlinuz-*')
    shutil.copy(kernel, target / 'vmlinuz')
    initrd(tree, target, kernel.name.partition('-')[2])
    disk = target / 'disk.img'
    with open(disk, 'wb') as file:
        file.truncate(DISK_SIZE)
    tool('mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'root', '-d', tree, disk)
    shutil.rmtree(tree)
    done(target, begun)
    return target


def main() -> int:
    """Make all of it."""
    if os.geteuid() != 0:
        sys.exit('roots are unpacked by root')
    try:
        for suite in SUITES:
            root(suite)
            wheels(suite)
        guest()
    except ToolError as error:
        sys.exit(str(error))
    return 0


if __name__ == '__main__':
    sys.exit(main())
