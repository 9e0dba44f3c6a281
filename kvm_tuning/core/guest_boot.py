"""Make what a guest runs at boot, from the settings in its receipt.

The result is what cloud-init takes from Nova's vendordata: the value of the
key ``cloud-init`` is one text. A text that begins with ``#cloud-boothook``
runs early in each boot, even where the tenant's user-data has lists of its own
(those replace vendordata's, key by key).

Only cloud-init keeps anything on the guest's disk: settings are made again at
each boot, and for devices that come later by udev rules in ``/run``.
"""

from collections.abc import Iterable, Mapping
import re
from typing import Any

from kvm_tuning.core.effects import Scope, Setting

#: Names of settings, and what they apply to.
CHANNELS = 'nic-channels'
SCHEDULER = 'disk-scheduler'
HUGE_PAGES = 'transparent-huge-pages'
IRQBALANCE = 'irqbalance'

#: In place of a MAC or a disk: any of them.
ANY = '*'

# Nothing else in a receipt ever reaches a shell.
_MAC = re.compile(r'(?:[0-9a-f]{2}:){5}[0-9a-f]{2}', re.ASCII)
_WORD = re.compile(r'[a-z][a-z-]{0,31}', re.ASCII)
_COUNT = re.compile(r'[1-9][0-9]{0,4}', re.ASCII)

# What Linux calls the disks of a bus; libvirt's letters need not match the
# guest's, so a rule is for all disks of the bus.
_DISKS = {
    'vd': 'KERNEL=="vd*"',
    'sd': 'KERNEL=="sd*", ATTRS{vendor}=="QEMU*"',
}


def vendordata(settings: Iterable[Setting]) -> str | dict[str, Any]:
    """Return the value of vendordata's key ``cloud-init``: a boothook, or an
    empty mapping where there is nothing to do.
    """
    found = _of(settings)
    counts = found.get(CHANNELS, {})
    told = [
        f'{mac}={count}'
        for mac, count in sorted(counts.items())
        if _MAC.fullmatch(mac) and _COUNT.fullmatch(count)
    ]
    parts = [
        *([_CHANNELS] if told or ANY in counts else []),
        *_scheduler(found.get(SCHEDULER, {})),
        *_huge_pages(found.get(HUGE_PAGES, {}).get('')),
        *_irqbalance(found.get(IRQBALANCE, {}).get('')),
    ]
    head = _HEAD.replace('@TOLD@', ' '.join(told))
    return '\n'.join([head, *parts, _FOOT]) if parts else {}


def _of(settings: Iterable[Setting]) -> dict[str, dict[str, str]]:
    """Return the values of the guest's settings by name and address."""
    found: dict[str, dict[str, str]] = {}
    for setting in settings:
        if setting.scope is Scope.GUEST:
            name, _, address = setting.name.partition('/')
            found.setdefault(name, {})[address.lower()] = setting.value
    return found


def _scheduler(values: Mapping[str, str]) -> Iterable[str]:
    for prefix, match in _DISKS.items():
        chosen = {
            value
            for target, value in values.items()
            if target.startswith(prefix) or target == ANY
        }
        # One rule for all; none where they would differ.
        if len(chosen) == 1 and _WORD.fullmatch(value := chosen.pop()):
            text = _DISK.replace('@MATCH@', match).replace('@VALUE@', value)
            yield text.replace('@PREFIX@', prefix)


def _huge_pages(value: str | None) -> Iterable[str]:
    if value is not None and _WORD.fullmatch(value):
        yield _THP.replace('@VALUE@', value)


def _irqbalance(value: str | None) -> Iterable[str]:
    if value == 'on':
        yield _BALANCE


_HEAD = """\
#cloud-boothook
#!/bin/sh
# kvm-tuning: what only the guest can do for its own tuning, at each boot.
# It never fails a boot: what cannot be done is told, and that is all.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
home=/run/kvm-tuning rules=/run/udev/rules.d/99-kvm-tuning-guest.rules
say() {
  echo "kvm-tuning: $*"
  echo "<6>kvm-tuning: $*" 2>/dev/null >/dev/kmsg || true
}
put() {  # FILE VALUE
  echo "$2" 2>/dev/null >"$1" || say "$1 does not take $2"
}
permanent() {  # NIC: its own MAC, also where a bond has given it another
  own=$(ethtool -P "$1" 2>/dev/null |
    sed -n 's/^Permanent address: *\\([0-9a-f:]\\{17\\}\\) *$/\\1/p')
  [ -n "${own#00:00:00:00:00:00}" ] ||
    own=$(cat "/sys/class/net/$1/bonding_slave/perm_hwaddr" 2>/dev/null) ||
    own=$(cat "/sys/class/net/$1/address" 2>/dev/null)
  echo "$own"
}
queues() {  # NIC: as many as the device has; "told" is what the host gave
  [ -e "/sys/class/net/$1/address" ] || return 0
  command -v ethtool >/dev/null || {
    say "$1: ethtool is not installed, its queues stay as they are"
    return 0
  }
  mac=$(permanent "$1")
  # shellcheck disable=SC2046
  set -- "$1" $(ethtool -l "$1" 2>/dev/null | sed -n 's/^Combined:[^0-9]*//p')
  [ "$#" -eq 3 ] || return 0
  [ "$2" -eq "$3" ] || ethtool -L "$1" combined "$2" || say "$1: no $2 queues"
  count=$(ethtool -l "$1" | sed -n 's/^Combined:[^0-9]*//p' | tail -n 1)
  say "$1: $count of $2 queues"
  for each in $told; do
    [ "${each%=*}" != "$mac" ] || [ "${each#*=}" = "$count" ] ||
      say "$1: the host gave ${each#*=} queues when this guest was made"
  done
}
told='@TOLD@'
# udev calls this for one NIC, perhaps while a whole run goes on.
[ "$1" != queues ] || { queues "$2"; exit 0; }
new=$rules.$$
rm -f "$new"
mkdir -p "$home" "${rules%/*}"
"""

_CHANNELS = """\
if cp "$0" "$home/guest.$$"; then mv "$home/guest.$$" "$home/guest"; fi
echo 'ACTION=="add", SUBSYSTEM=="net", DRIVERS=="virtio_net", \\
RUN+="/bin/sh /run/kvm-tuning/guest queues $name"' >>"$new"
for nic in /sys/class/net/*; do
  driver=$(readlink "$nic/device/driver") || continue
  [ "${driver##*/}" != virtio_net ] || queues "${nic##*/}"
done
"""

_DISK = """\
echo 'ACTION=="add|change", SUBSYSTEM=="block", ENV{DEVTYPE}=="disk", \\
@MATCH@, ATTR{queue/scheduler}="@VALUE@"' >>"$new"
for disk in /sys/block/@PREFIX@*; do
  case $(cat "$disk/device/vendor" 2>/dev/null) in QEMU*|0x*) ;; *) continue
  esac
  put "$disk/queue/scheduler" @VALUE@
done
"""

_THP = """\
put /sys/kernel/mm/transparent_hugepage/enabled @VALUE@
"""

_BALANCE = """\
if [ -n "$(systemctl cat irqbalance.service 2>/dev/null)" ]; then
  systemctl --no-block start irqbalance.service ||
    say 'irqbalance does not start'
else
  say 'irqbalance is not installed'
fi
"""

_FOOT = """\
[ ! -e "$new" ] || mv "$new" "$rules"
exit 0
"""
