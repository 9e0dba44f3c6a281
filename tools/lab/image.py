"""The node's disk, kernel and initramfs, made of Debian's packages.

The unpacked root is also where QEMU runs from: the host's own may be too old
to emulate igb, and nothing is installed there.
"""

from dataclasses import dataclass
import lzma
import os
from pathlib import Path
import shutil
import subprocess
import time

from tools.lab.places import (
    HERE,
    LabError,
    digest,
    folder,
    is_made,
    made,
    say,
    unmade,
)
from tools.lib import debian
from tools.lib.checkout import TOP

SUITE = 'trixie'
DISK_SIZE = 4 << 30

PACKAGES = (
    # The system
    'linux-image-amd64', 'initramfs-tools', 'systemd', 'systemd-sysv', 'udev',
    'dbus', 'kmod', 'util-linux', 'procps', 'psmisc', 'e2fsprogs', 'zstd',
    'busybox-static', 'openssh-server', 'iproute2', 'iputils-ping', 'ethtool',
    'pciutils', 'numactl', 'nvme-cli', 'strace',
    'grub-common', 'grub2-common', 'grub-pc-bin', 'cloud-init',
    # The hypervisor
    'libvirt-daemon-system', 'libvirt-daemon-driver-qemu', 'libvirt-clients',
    'qemu-system-x86', 'qemu-utils', 'seabios', 'ipxe-qemu',
    # What the project and its tests import, as Debian ships it
    'python3', 'python3-pip', 'python3-libvirt', 'python3-lxml',
    'python3-yaml', 'python3-cliff', 'python3-stevedore', 'python3-pbr',
    'python3-oslo.config', 'python3-oslo.privsep', 'python3-rich',
    'python3-jinja2',
    'python3-testtools', 'python3-fixtures', 'python3-pyroute2',
    'python3-subunit',
)  # fmt: skip

# Slow under emulation, of no use here, or periodic: they change the host
# under a test's feet.
_MASKED = (
    'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer',
    'e2scrub_all.timer', 'e2scrub_reap.service', 'fstrim.timer',
    'getty@tty1.service', 'ldconfig.service', 'libvirt-guests.service',
    'nvmefc-boot-connections.service', 'nvmf-autoconnect.service',
    'sys-kernel-tracing.mount', 'systemd-networkd.service',
    'systemd-networkd.socket', 'systemd-networkd-persistent-storage.service',
    'systemd-networkd-wait-online.service', 'systemd-pcrphase.service',
    'systemd-pcrphase-sysinit.service', 'systemd-tpm2-setup.service',
    'systemd-tpm2-setup-early.service',
)  # fmt: skip

#: Where the tiny guest is, in the node.
TINY_GUEST = 'var/lib/kvm-tuning-lab/tiny-guest'

_INIT = """\
#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
for module in /modules/*; do /bin/busybox insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 600 ]; do
  /bin/busybox sleep 0.1
  tries=$((tries + 1))
done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root || exec /bin/busybox sh
for place in dev proc sys; do /bin/busybox mount -o move /$place /root/$place; done
exec /bin/busybox switch_root /root /sbin/init
"""  # noqa: E501


@dataclass(frozen=True)
class Image:
    """What nodes are started from.

    :ivar name: of its folder; one for each set of packages
    :ivar packages: of Debian, without what is always there
    :ivar disk_bytes: the size of the node's root disk
    """

    name: str = 'host'
    packages: tuple[str, ...] = PACKAGES
    disk_bytes: int = DISK_SIZE

    @property
    def place(self) -> Path:
        """The folder of all that is made of it."""
        return folder() / self.name

    @property
    def root(self) -> Path:
        """The unpacked root."""
        return self.place / 'rootfs'

    @property
    def boot(self) -> Path:
        """The folder of ``root.img``, ``vmlinuz``, ``initrd.img`` and
        ``id_lab``, the key of the node's root.
        """
        return self.place / 'image'

    def stamp(self) -> str:
        """Return what the image is made from."""
        return digest(
            [SUITE, *self.packages, str(self.disk_bytes), HERE / 'root',
             HERE / 'image.py', TOP / 'tools/tiny-guest.sh']
        )  # fmt: skip

    def build(self) -> None:
        """Make what is missing or out of date.

        :raises LabError: a step failed.
        """
        if is_made(self.boot, self.stamp()):
            return
        if os.geteuid() != 0:
            raise LabError('the lab image is built by root')
        _unpack(self)
        unmade(self.boot)
        shutil.rmtree(self.boot, ignore_errors=True)
        self.boot.mkdir(parents=True)
        _customise(self)
        _tiny_guest(self)
        self.furnish()
        _initrd(self)
        _disk(self)
        made(self.boot, self.stamp())
        say(f'image made in {self.boot}')

    def furnish(self) -> None:
        """Put more into the unpacked root, before the disk is made of it;
        for images that have more, whose :meth:`stamp` tells what.

        :raises LabError: a step failed.
        """

    def chroot(self, *command: str) -> str:
        """Return what a command prints that runs in the unpacked root.

        :raises LabError: it fails.
        """
        done = subprocess.run(
            ['chroot', str(self.root), *command],
            capture_output=True,
            text=True,
            check=False,
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
                 'LC_ALL': 'C.UTF-8'},
        )  # fmt: skip
        if done.returncode:
            words = done.stderr.strip()[-2000:]
            raise LabError(f'{" ".join(command)}: {words}')
        return done.stdout

    def program(self, name: str) -> list[str]:
        """Return the command that runs a program of the unpacked root on the
        host, with the root's libraries and nothing installed.
        """
        lib = self.root / 'usr/lib/x86_64-linux-gnu'
        return [
            str(self.root / 'lib64/ld-linux-x86-64.so.2'),
            '--library-path',
            str(lib),
            str(self.root / 'usr/bin' / name),
        ]


#: What tests/lab run on.
HOST = Image()


def tool(*command: str, **options: object) -> None:
    """Run a command of the host.

    :raises LabError: it fails; with its last words.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise LabError(f'{command[0]} failed ({done.returncode}): {words}')


def _unpack(image: Image) -> None:
    root = image.root
    root.parent.mkdir(exist_ok=True)
    wanted = digest([SUITE, *image.packages])
    if is_made(root, wanted):
        return
    unmade(root)
    shutil.rmtree(root, ignore_errors=True)
    say(f'unpacking Debian {SUITE} from {debian.mirror()}')
    begun = time.monotonic()
    debian.unpack(SUITE, image.packages, root)
    made(root, wanted)
    say(f'unpacked in {time.monotonic() - begun:.0f} s')


def _customise(image: Image) -> None:
    tool(
        'cp',
        '-r',
        '--no-preserve=ownership',
        f'{HERE}/root/.',
        str(image.root),
    )
    key = image.boot / 'id_lab'
    tool('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'lab',
         '-f', str(key))  # fmt: skip
    ssh = image.root / 'root/.ssh'
    ssh.mkdir(mode=0o700, exist_ok=True)
    keys = ssh / 'authorized_keys'
    keys.write_bytes(key.with_suffix('.pub').read_bytes())
    keys.chmod(0o600)
    # Root has no password: the serial console is for who debugs the lab.
    image.chroot('passwd', '-q', '-d', 'root')
    image.chroot('systemctl', '-q', 'mask', *_MASKED)
    image.chroot('systemctl', '-q', 'enable', 'ssh', 'lab-net')


def _tiny_guest(image: Image) -> None:
    made_in = folder().parent / 'tiny-guest'
    tool(str(TOP / 'tools/tiny-guest.sh'), str(made_in))
    target = image.root / TINY_GUEST
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ('kernel', 'initrd'):
        shutil.copy(made_in / name, target / name)
    for name in ('disk0.img', 'disk1.img'):
        with open(target / name, 'wb') as disk:
            disk.truncate((made_in / name).stat().st_size)


def _kernel_release(image: Image) -> str:
    (release,) = os.listdir(image.root / 'usr/lib/modules')
    return release


def _initrd(image: Image) -> None:
    """Make an initramfs of busybox and what the root disk needs: a tenth of
    Debian's, which is slow to unpack under emulation.
    """
    release = _kernel_release(image)
    tree = image.boot / 'initrd'
    for name in ('bin', 'dev', 'proc', 'sys', 'root', 'modules'):
        (tree / name).mkdir(parents=True)
    shutil.copy(image.root / 'usr/bin/busybox', tree / 'bin/busybox')
    (tree / 'bin/sh').symlink_to('busybox')
    listed = image.chroot(
        'modprobe', '-S', release, '--show-depends', '-a', 'virtio_pci',
        'virtio_blk', 'ext4',
    )  # fmt: skip
    paths = [
        line.split()[1]
        for line in listed.splitlines()
        if line.startswith('insmod ')
    ]
    for number, path in enumerate(dict.fromkeys(paths)):
        source = image.root / path.lstrip('/')
        content = source.read_bytes()
        if source.suffix == '.xz':
            content = lzma.decompress(content)
        name = f'{number:02d}-{source.name.removesuffix(".xz")}'
        (tree / 'modules' / name).write_bytes(content)
    (tree / 'init').write_text(_INIT)
    (tree / 'init').chmod(0o755)
    tool(
        'sh', '-c',
        'find . | cpio -o -H newc -R 0:0 --quiet | gzip -6 >../initrd.img',
        cwd=tree,
    )  # fmt: skip
    shutil.rmtree(tree)
    shutil.copy(image.root / f'boot/vmlinuz-{release}', image.boot / 'vmlinuz')


def _disk(image: Image) -> None:
    disk = image.boot / 'root.img'
    with open(disk, 'wb') as file:
        file.truncate(image.disk_bytes)
    tool(
        'mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'root',
        '-O', '^metadata_csum_seed',
        '-E', 'lazy_itable_init=1,lazy_journal_init=1',
        '-d', str(image.root), str(disk),
    )  # fmt: skip
