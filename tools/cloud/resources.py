"""What is in the cloud: endpoints, images, a network."""

from collections.abc import Callable, Collection, Iterator, Mapping
import datetime
import time
from typing import Any

import openstack

from tools.cloud.install import guest
from tools.cloud.places import CloudError, say
from tools.cloud.services import AGENT, COMPUTE

IMAGE = 'tiny'
#: An image that nothing boots from, for servers that are only looked at.
BLANK = 'blank'
NETWORK = 'net'

_ENDPOINTS = {
    'placement': ('placement', 'http://127.0.0.1:8778'),
    'nova': ('compute', 'http://127.0.0.1:8774/v2.1'),
    'glance': ('image', 'http://127.0.0.1:9292'),
    'neutron': ('network', 'http://127.0.0.1:9696'),
}
_DEADLINE = 120


def catalog() -> None:
    """Put the endpoints into the catalog, and give the user the services'
    role, without which Neutron refuses what Nova asks.
    """
    identity = openstack.connect().identity
    services = {service.name: service for service in identity.services()}
    there = {
        (endpoint.service_id, endpoint.interface)
        for endpoint in identity.endpoints()
    }
    for name, (kind, url) in _ENDPOINTS.items():
        service = services.get(name) or identity.create_service(
            name=name, type=kind
        )
        for interface in ('public', 'internal', 'admin'):
            if (service.id, interface) not in there:
                identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=url,
                    region_id='RegionOne',
                )
    role = identity.find_role('service') or identity.create_role(
        name='service'
    )
    identity.assign_project_role_to_user(
        identity.find_project('admin'), identity.find_user('admin'), role
    )


def wait(
    check: Callable[[], None],
    running: Collection[str],
    started: Collection[str] = (),
) -> None:
    """Wait until a server could be booted; without nova-compute among what
    runs here, until a compute host could join.

    :param check: raises when there is nothing to wait for.
    :param running: the services that run.
    :param started: services that were started now: that Nova takes them for
        up may be from before.
    :raises CloudError: it takes too long.
    """
    begun = time.monotonic()
    since = {name: time.time() for name in started}
    cloud = openstack.connect()
    while True:
        check()
        try:
            missing = next(_missing(cloud, running, since), None)
        except Exception as error:  # The services are starting
            missing = f'{type(error).__name__}: {error}'
        if missing is None:
            return
        if time.monotonic() - begun > _DEADLINE:
            raise CloudError(f'not ready: {missing}')
        time.sleep(0.5)


def _missing(
    cloud: Any, running: Collection[str], since: Mapping[str, float]
) -> Iterator[str]:
    up = {
        each.binary
        for each in cloud.compute.services()
        if each.state == 'up' and _seen(each) > since.get(each.binary, 0)
    }
    for name in ('nova-conductor', 'nova-scheduler', COMPUTE):
        if name in running and name not in up:
            yield f'{name} is not up'
    # A fresh Neutron that is asked for ports first fails for ever
    list(cloud.network.networks())
    if AGENT in running and not any(
        agent.is_alive for agent in cloud.network.agents()
    ):
        yield 'no agent of Neutron is alive'
    if COMPUTE not in running:
        return
    if not any(each.state == 'up' for each in cloud.compute.hypervisors()):
        yield 'no hypervisor is mapped'
    if not any(
        list(cloud.placement.resource_provider_inventories(each.id))
        for each in cloud.placement.resource_providers()
    ):
        yield 'no inventory in placement'


def _seen(service: Any) -> float:
    """Return when a service reported last."""
    if not service.updated_at:
        return 0
    naive = datetime.datetime.fromisoformat(service.updated_at)
    return naive.replace(tzinfo=datetime.UTC).timestamp()


def fill() -> None:
    """Make the images and the network, where they are missing."""
    cloud = openstack.connect()
    images = {image.name: image.id for image in cloud.image.images()}

    def image(name: str, file: str, kind: str, **properties: str) -> str:
        if name not in images:
            bare = kind not in ('aki', 'ari', 'ami')
            images[name] = cloud.image.create_image(
                name,
                filename=str(guest() / file),
                disk_format=kind,
                container_format='bare' if bare else kind,
                wait=True,
                visibility='public',
                **properties,
            ).id
            say(f'image {name}')
        return str(images[name])

    image(
        IMAGE, 'disk0.img', 'ami',
        kernel_id=image('tiny-kernel', 'kernel', 'aki'),
        ramdisk_id=image('tiny-initrd', 'initrd', 'ari'),
        os_command_line='console=ttyS0 quiet',
    )  # fmt: skip
    image(BLANK, 'disk0.img', 'raw')
    if not cloud.network.find_network(NETWORK):
        network = cloud.network.create_network(name=NETWORK)
        cloud.network.create_subnet(
            network_id=network.id,
            name=NETWORK,
            ip_version=4,
            cidr='10.9.0.0/24',
            enable_dhcp=False,
        )
