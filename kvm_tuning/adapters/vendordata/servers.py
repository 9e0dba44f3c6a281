"""A server's guest settings from its flavor, image and ports, through Nova's
API.

The hook that writes them into a receipt also computes these, so that both ways
agree. Nova serves a config drive before there is a guest, and so before there
is a receipt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kvm_tuning import loader
from kvm_tuning.core.documents import Flavor, Image
from kvm_tuning.core.effects import Setting
from kvm_tuning.core.exceptions import CloudFailed
from kvm_tuning.core.guest import Disk, Guest, Interface
from kvm_tuning.core.inventory import Inventory
from kvm_tuning.core.placement import Placement
from kvm_tuning.core.request import PROFILE
from kvm_tuning.core.request import read as read_request
from kvm_tuning.core.site import Site
from kvm_tuning.hooks.guest_tuning import ANY_CHANNELS, TUNING, GuestTuning

#: The first microversion in which a server's flavor has its extra specs.
_MICROVERSION = '2.47'
_MAC = 'OS-EXT-IPS-MAC:mac_addr'


def settings(
    connection: Any, server: str, timeout: float
) -> Sequence[Setting] | None:
    """Return what a server's flavor and image request; None: there is no such
    server.

    :raises CloudFailed: Nova or Glance does not answer, or has no such image.
    :raises RequestError: the flavor is wrong.
    """
    found = _get(
        connection.compute, f'/servers/{server}', timeout, _MICROVERSION
    )
    if found is None:
        return None
    return of(found['server'], lambda id_: _image(connection, id_, timeout))


def of(server: Mapping[str, Any], image: Any) -> Sequence[Setting]:
    """Return what a server of Nova's API is to set.

    :param image: a function from an image's id to its properties.
    """
    asked = _flavor(server['flavor'])
    if TUNING not in asked.extra_specs:
        return ()
    # Booted from a volume: it has no image. (Its properties are the volume's.)
    id_ = (server.get('image') or {}).get('id')
    properties = image(id_) if id_ else {}
    hooks = loader.load()
    request = read_request(
        asked, Image(id_ or '', id_ or '', properties), loader.knobs(hooks)
    )
    guest = _guest(server, asked, properties)
    made = [
        effect
        for effect in GuestTuning().effects(
            request, guest, Placement(), Site(Inventory((), (), 0))
        )
        if isinstance(effect, Setting)
    ]
    # Nova reports no addresses while a server is built, which is when it makes
    # a config drive: which NICs there will be is unknown then.
    if made and not guest.interfaces:
        made.append(ANY_CHANNELS)
    return made


def _flavor(flavor: Mapping[str, Any]) -> Flavor:
    return Flavor(
        name=str(flavor['original_name']),
        id='',
        vcpus=int(flavor['vcpus']),
        ram_mib=int(flavor['ram']),
        extra_specs={
            str(key): str(value)
            for key, value in (flavor.get('extra_specs') or {}).items()
            # A profile is the host's; its knobs are unknown here.
            if key != PROFILE
        },
    )


def _guest(
    server: Mapping[str, Any], flavor: Flavor, properties: Mapping[str, str]
) -> Guest:
    """Return the part of the guest that Nova makes that matters here."""
    macs = {
        str(address[_MAC]).lower()
        for network in (server.get('addresses') or {}).values()
        for address in network
        if address.get(_MAC)
    }
    bus = properties.get('hw_disk_bus', 'virtio')
    return Guest(
        name=str(server['id']),
        uuid=str(server['id']),
        type='kvm',
        arch=None,
        machine=None,
        vcpus=flavor.vcpus,
        memory_kib=flavor.ram_mib * 1024,
        disks=(
            Disk('vda' if bus == 'virtio' else 'sda', bus, 'disk', 'file',
                 None),
        ),
        interfaces=tuple(
            Interface(mac, 'bridge', properties.get('hw_vif_model', 'virtio'))
            for mac in sorted(macs)
        ),
    )  # fmt: skip


def _image(connection: Any, id_: str, timeout: float) -> Mapping[str, str]:
    found = _get(connection.image, f'/images/{id_}', timeout)
    if found is None:
        # Deleted since: what it requested of the guest is unknown.
        return {}
    return {
        key: value for key, value in found.items() if isinstance(value, str)
    }


def _get(
    service: Any, path: str, timeout: float, microversion: str | None = None
) -> dict[str, Any] | None:
    """Return a document of an API; None where there is none.

    :raises CloudFailed: the API does not answer, or answers with an error.
    """
    try:
        response = service.get(
            path,
            microversion=microversion,
            timeout=timeout,
            connect_retries=0,
            status_code_retries=0,
            raise_exc=False,
        )
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise CloudFailed(f'GET {path}: {response.status_code}')
        found: dict[str, Any] = response.json()
    except CloudFailed:
        raise
    except Exception as error:
        raise CloudFailed(f'GET {path}: {error}') from error
    return found
