"""What the cloud knows of compute hosts; runs in the cloud's environment.

``hosts.py wait NAME...`` waits until a server could be booted on each;
``hosts.py forget NAME...`` deletes them with all that is on them.
"""

from collections.abc import Collection, Iterator
import contextlib
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import openstack

_DEADLINE = 240


def wait(cloud: Any, names: Collection[str]) -> None:
    """Wait until servers could be booted on hosts."""
    end = time.monotonic() + _DEADLINE
    while True:
        missing = [*_missing(cloud, names)]
        if not missing:
            return
        if time.monotonic() > end:
            sys.exit(f'not ready: {"; ".join(missing)}')
        time.sleep(1)


def _missing(cloud: Any, names: Collection[str]) -> Iterator[str]:
    up = {each.name for each in cloud.compute.hypervisors() if _up(each)}
    for name in names:
        if name not in up:
            yield f'{name} is not up'
            continue
        totals = {
            each.resource_class: each.total
            for provider in cloud.placement.resource_providers(name=name)
            for each in cloud.placement.resource_provider_inventories(
                provider.id
            )
        }
        if 'PCPU' not in totals:
            yield f'{name} has {totals} in placement'


def _up(hypervisor: Any) -> bool:
    return bool(hypervisor.state == 'up')


def forget(cloud: Any, names: Collection[str]) -> None:
    """Delete servers and the services of hosts."""
    compute = cloud.compute
    servers = [
        each
        for each in compute.servers(details=True, all_projects=True)
        if each.compute_host in names
    ]
    for server in servers:
        compute.delete_server(server, force=True)
    for server in servers:
        with contextlib.suppress(openstack.exceptions.ResourceTimeout):
            compute.wait_for_delete(server, interval=0.5, wait=60)
    for service in compute.services(binary='nova-compute'):
        if service.host in names:
            compute.delete_service(service)
    _archive()


def _archive() -> None:
    """Take what has been deleted out of Nova's tables.

    Nova looks a server's compute service up by its host's name, among the
    deleted ones, too (``Instance.services`` in nova/db/main/models.py): of a
    host that has come back it may take the old one, and say that it is down.
    """
    venv = Path(sys.prefix)
    status = subprocess.call(
        [
            str(venv / 'bin/nova-manage'),
            '--config-file',
            str(venv.parent / 'etc/nova/nova.conf'),
            'db',
            'archive_deleted_rows',
            '--all-cells',
            '--until-complete',
        ]
    )
    # 1: there were such rows
    if status not in (0, 1):
        sys.exit(f'nova-manage db archive_deleted_rows failed ({status})')


def main() -> None:
    """Do what the arguments say."""
    verb, *names = sys.argv[1:]
    cloud = openstack.connect()
    # Services have the ids that delete them.
    cloud.compute.default_microversion = '2.90'
    {'wait': wait, 'forget': forget}[verb](cloud, names)


if __name__ == '__main__':
    main()
