#!/bin/bash
# Makes a tiny guest out of Debian packages: a cloud kernel and a busybox
# initramfs. The packages are unpacked, never installed.
#
#   tools/tiny-guest.sh OUTDIR
#
# leaves in OUTDIR: kernel, initrd, and two fully allocated raw disks of
# 16 MiB, disk0.img and disk1.img. Does nothing when this version of the script
# made them already.
# The guest loads the virtio drivers, touches a quarter of its memory, brings
# its NICs up, prints "guest ready" on the serial console and idles until the
# ACPI power button is pressed.
set -euo pipefail

# What the guest's init loads, with what they depend on.
MODULES='virtio_pci virtio_blk virtio_net button evdev'

say() { printf 'tiny-guest: %s\n' "$*"; }
die() { printf 'tiny-guest: %s\n' "$*" >&2; exit 3; }

download() {  # DIR: fetch the kernel and busybox, unpacked into DIR
  local kernel
  apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt-get update -qq
  kernel=$(apt-cache depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$kernel" ] || die 'apt knows no linux-image-cloud-amd64'
  say "fetching $kernel and busybox-static"
  # apt drops its privileges for the download, and says so when it cannot
  (cd "$1" && apt-get download -qq -o APT::Sandbox::User=root \
    "$kernel" busybox-static)
  local deb
  for deb in "$1"/*.deb; do dpkg-deb -x "$deb" "$1/root"; done
}

module_files() {  # ROOT RELEASE: modules' paths, each after what it needs
  local dir=$1/lib/modules/$2 name
  [ -d "$dir" ] || dir=$1/usr/lib/modules/$2
  # The package carries no modules.dep: depmod makes it where it is unpacked
  [ -e "$dir/modules.dep" ] || "$(command -v depmod)" -b "${dir%/lib/modules/*}" "$2"
  for name in $MODULES; do
    "$(command -v modprobe)" -d "${dir%/lib/modules/*}" -S "$2" \
      --show-depends "$name" 2>/dev/null |
      sed -n 's/^insmod \([^ ]*\).*/\1/p' || true
  done | awk '!seen[$0]++'
}

make_initrd() {  # UNPACKED TREE OUTPUT
  local root=$1 tree=$2 release file number=10
  release=$(basename "$(find "$root" -path '*/lib/modules/*' -prune -type d | head -n 1)")
  mkdir -p "$tree"/{bin,dev,proc,sys,modules}
  cp "$(find "$root" -type f -path '*/bin/busybox' | head -n 1)" "$tree/bin/busybox"
  while read -r file; do
    number=$((number + 1))
    case $file in
      *.xz) xz -dc "$file" >"$tree/modules/$number-$(basename "$file" .xz)" ;;
      *.zst) zstd -qdc "$file" >"$tree/modules/$number-$(basename "$file" .zst)" ;;
      *) cp "$file" "$tree/modules/$number-$(basename "$file")" ;;
    esac
  done < <(module_files "$root" "$release")
  [ "$number" -gt 10 ] || die "no virtio modules found for $release"
  cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do insmod "$module" 2>/dev/null; done
for nic in /sys/class/net/*; do ip link set "${nic##*/}" up; done
mkdir /ram /etc /etc/acpi /etc/acpi/PWRF
total_kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
mount -t tmpfs -o size=50% ram /ram
dd if=/dev/zero of=/ram/touched bs=1024k count=$((total_kib / 4096)) 2>/dev/null
printf '#!/bin/sh\npoweroff -f\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid -d >/dev/null 2>&1 &
# Ready only when a press of the power button is heard
for try in 1 2 3 4 5 6 7 8 9; do
  ls -l /proc/$!/fd | grep -q /dev/input && break
  sleep 0.1
done
echo "guest ready" >/dev/console
while :; do sleep 3600; done
INIT
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -6) >"$3"
}

out=${1:?usage: tools/tiny-guest.sh OUTDIR}
version=$(sha256sum "$0" | cut -d ' ' -f 1)
if [ "$(cat "$out/made-by" 2>/dev/null)" = "$version" ]; then
  say "$out is made already"
  exit 0
fi
[ "$(uname -m)" = x86_64 ] || die "only x86_64 is known, not $(uname -m)"
for tool in apt-get dpkg-deb cpio gzip xz depmod modprobe fallocate; do
  command -v "$tool" >/dev/null || die "$tool is not installed"
done
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
download "$work"
make_initrd "$work/root" "$work/tree" "$work/initrd"
cp "$(find "$work/root" -name 'vmlinuz-*' | head -n 1)" "$out/kernel"
for disk in disk0.img disk1.img; do
  # Fully allocated: a sparse file can block QEMU under io='native'
  fallocate -l 16M "$out/$disk"
done
mv "$work/initrd" "$out/initrd"
echo "$version" >"$out/made-by"
say "$out: kernel $(stat -c %s "$out/kernel") bytes, initrd $(stat -c %s "$out/initrd") bytes, 2 disks"
