"""Boot a server of a flavor in a cloud, let the caller examine it,
delete it.
"""

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import time
from typing import Any
import uuid

from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import CloudFailed

#: Seconds between two looks at a server.
_PAUSE = 1.0
#: 2.37: networks "none". 2.86: Nova checks extra specs. 2.84: why an event
#: failed.
_MICROVERSION = '2.86'
_SETTLED = ('ACTIVE', 'ERROR')


@dataclass(frozen=True, slots=True)
class Sizes:
    """The most that a server may have, whatever its flavor says; None: no
    limit.
    """

    vcpus: int | None = None
    ram: int | None = None
    disk: int | None = None

    def limited(self, flavor: Flavor) -> dict[str, int]:
        """Return a flavor's sizes, limited to these."""
        return {
            name: have if most is None else min(have, most)
            for name, have, most in (
                ('vcpus', flavor.vcpus, self.vcpus),
                ('ram', flavor.ram_mib, self.ram),
                ('disk', flavor.disk_gib, self.disk),
            )
        }


@dataclass(frozen=True, slots=True)
class Booted:
    """A server as it came up, or why it did not."""

    uuid: str
    status: str
    seconds: float
    host: str
    why: str


class Smoke:
    """Creates servers in one cloud, and deletes those that it created."""

    def __init__(
        self,
        connection: Any,
        image: str,
        network: str | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Find the image and the network.

        :param network: None: servers without a NIC.
        :raises CloudFailed: the cloud has none of that name.
        """
        self._connection = connection
        self._compute = connection.compute
        self._compute.default_microversion = _MICROVERSION
        self._clock, self._sleep = clock, sleep
        self._image = _found(
            connection.image.find_image(image), f'image {image!r}'
        )
        self._networks: Any = 'none'
        if network is not None:
            found = connection.network.find_network(network)
            self._networks = [{'uuid': _found(found, f'network {network!r}')}]

    @contextlib.contextmanager
    def boot(
        self,
        flavor: Flavor,
        extra_specs: dict[str, str],
        sizes: Sizes,
        deadline: float,
    ) -> Iterator[Booted]:
        """Boot a server for the duration of a ``with``.

        :param extra_specs: instead of the flavor's own.
        :param deadline: seconds until it has to be ACTIVE.
        :raises CloudFailed: Nova refuses the flavor or the server.
        """
        name = f'kvm-tuning-smoke-{flavor.name}-{uuid.uuid4().hex[:8]}'
        with contextlib.ExitStack() as made:
            try:
                there = self._compute.create_flavor(
                    name=name, **sizes.limited(flavor)
                )
                made.callback(self._compute.delete_flavor, there)
                if extra_specs:
                    self._compute.create_flavor_extra_specs(there, extra_specs)
                begun = self._clock()
                server = self._compute.create_server(
                    name=name,
                    image_id=self._image,
                    flavor_id=there.id,
                    networks=self._networks,
                )
                made.callback(self._delete, server, deadline)
                server = self._settled(server, begun + deadline)
                booted = Booted(
                    str(server.id),
                    str(server.status),
                    self._clock() - begun,
                    str(server.compute_host or ''),
                    '' if server.status == 'ACTIVE' else self._why(server),
                )
            except Exception as exc:
                raise CloudFailed(f'flavor {flavor.name}: {exc}') from exc
            yield booted

    def _settled(self, server: Any, end: float) -> Any:
        while server.status not in _SETTLED and self._clock() < end:
            self._sleep(_PAUSE)
            server = self._compute.get_server(server.id)
        return server

    def _why(self, server: Any) -> str:
        """Return the fault, and what the events of a failed build say: the
        fault of a build that was tried on several hosts says only that.
        """
        told = [str((server.fault or {}).get('message') or '')]
        for action in self._compute.server_actions(server.id):
            whole = self._compute.get_server_action(
                action.request_id, server.id
            )
            told += [
                str(event.get('details') or '')
                for event in whole.events or ()
                if event.get('result') == 'Error'
            ]
        return '; '.join(dict.fromkeys(text for text in told if text))

    def _delete(self, server: Any, deadline: float) -> None:
        self._compute.delete_server(server.id, ignore_missing=True)
        with contextlib.suppress(Exception):
            self._compute.wait_for_delete(
                server, interval=_PAUSE, wait=deadline
            )


def _found(what: Any, name: str) -> str:
    """Return the id of what was looked for.

    :raises CloudFailed: there is no such thing.
    """
    if what is None:
        raise CloudFailed(f'the cloud has no {name}')
    return str(what.id)
