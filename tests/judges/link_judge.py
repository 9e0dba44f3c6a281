"""Asks udev which .link file it applies, in a network namespace of its own.

Run by ``unshare --net --mount``. The argument is a directory of cases, each
with ``etc/systemd/network``; for each of our interfaces, which are of this
namespace alone, the name of the file is written, as a JSON list by case.
"""

import json
from pathlib import Path
import subprocess
import sys

ETC = '/etc/systemd/network'
RUN = '/run/systemd/network'
INTERFACES = {
    f'tap{number}': f'52:54:00:00:00:{number:02x}' for number in range(4)
}


def call(*command):
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout


def applied(name):
    text = subprocess.run(
        [
            'udevadm',
            'test-builtin',
            'net_setup_link',
            f'/sys/class/net/{name}',
        ],
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    for line in text.splitlines():
        key, _equals, value = line.partition('=')
        if key == 'ID_NET_LINK_FILE':
            return value
    return None


def main():
    call('mount', '-t', 'sysfs', 'sysfs', '/sys')
    for name, mac in INTERFACES.items():
        call('ip', 'tuntap', 'add', name, 'mode', 'tap')
        call('ip', 'link', 'set', name, 'address', mac)
    found = []
    for case in sorted(Path(sys.argv[1]).iterdir(), key=lambda p: int(p.name)):
        for place in (ETC, RUN):
            source = case / place.lstrip('/')
            source.mkdir(parents=True, exist_ok=True)
            Path(place).mkdir(parents=True, exist_ok=True)
            call('mount', '--bind', str(source), place)
        found.append({name: applied(name) for name in INTERFACES})
        for place in (ETC, RUN):
            call('umount', place)
    json.dump(found, sys.stdout)


if __name__ == '__main__':
    main()
