"""Serve the metrics of a host over HTTP, or write them to a file."""

from collections.abc import Iterator
from typing import Any

from kvm_tuning.adapters.exporter import families
from kvm_tuning.adapters.exporter.families import Family
from kvm_tuning.adapters.exporter.source import Settings, Source
from kvm_tuning.core.exceptions import ConfigInvalid
from kvm_tuning.wsgi import authentication

# A scrape is one at a time: each reads the same host.
_THREADS = 1
_CONNECTIONS = 32
_HEADER_BYTES = 16384


class Collector:
    """What a registry of prometheus_client asks for metrics."""

    def __init__(self, settings: Settings, per_vcpu: bool) -> None:
        self._source = Source(settings)
        self._per_vcpu = per_vcpu

    def describe(self) -> tuple[Family, ...]:
        """Return nothing: a host is not read to register the collector."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield the metrics of now."""
        return families.families(self._source.read(), self._per_vcpu)


def registry(settings: Settings, per_vcpu: bool = False) -> Any:
    """Return a registry that has nothing but these metrics."""
    client = _library('prometheus_client')
    made = client.CollectorRegistry()
    made.register(Collector(settings, per_vcpu))
    return made


def server(made: Any, listen: str) -> Any:
    """Return a server that listens; ``run()`` serves until ``close()``.

    :param listen: address and port.
    :raises ConfigInvalid: waitress is missing, or the address is not to be
        had.
    """
    client, waitress = _library('prometheus_client'), _library('waitress')
    try:
        return waitress.create_server(
            client.make_wsgi_app(made),
            listen=listen,
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_timeout=30,
            max_request_header_size=_HEADER_BYTES,
            max_request_body_size=0,
            asyncore_use_poll=True,
            ident=None,
        )
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f'--listen {listen}: {error}') from error


def write(made: Any, path: str) -> None:
    """Replace a file with the metrics, as a whole.

    :raises ConfigInvalid: it cannot be written.
    """
    try:
        _library('prometheus_client').write_to_textfile(path, made)
    except OSError as error:
        raise ConfigInvalid(f'--textfile {path}: {error.strerror}') from error


def _library(name: str) -> Any:
    return authentication.require(
        name, 'kvm-tuning exporter', 'pip install kvm-tuning[exporter]'
    )
