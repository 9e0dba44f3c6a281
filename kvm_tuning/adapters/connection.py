"""A connection to libvirt: with :mod:`kvm_tuning.adapters.trial` the only
place that imports it.

Every error of libvirt becomes a :class:`LibvirtFailed` with the call, the
domain and libvirt's own message.
"""

from collections.abc import Callable, Iterator
import contextlib
import importlib
import json
import logging
from typing import Any, TypeVar

from kvm_tuning.core import cpuset
from kvm_tuning.core.claims import Record
from kvm_tuning.core.exceptions import LibvirtFailed

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')

# libvirt's enumerations (libvirt-domain.h, virterror.h). Their values are
# part of its ABI.
_ACTIVE = 1
_AFFECT_LIVE = 1
_XML_SECURE = 1
_XML_INACTIVE = 2
_METADATA_ELEMENT = 2
_NO_SUPPORT = 3
_NO_DOMAIN = 42
_OPERATION_INVALID = 55


@contextlib.contextmanager
def open(uri: str, read_only: bool = False) -> Iterator['Connection']:
    """Connect to the libvirt at ``uri`` for the duration of a ``with``.

    :raises LibvirtFailed: its Python module is missing, or nobody answers.
    """
    libvirt = _module()
    LOG.debug('connect to libvirt at %s', uri)
    connect = libvirt.openReadOnly if read_only else libvirt.open
    try:
        raw = connect(uri)
    except libvirt.libvirtError as error:
        raise LibvirtFailed(
            f'libvirt at {uri} does not answer: {_message(error)}'
        ) from error
    try:
        yield Connection(raw, libvirt.libvirtError)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            raw.close()


def _module() -> Any:
    try:
        libvirt = importlib.import_module('libvirt')
    except ImportError as error:
        raise LibvirtFailed(
            f'the Python module libvirt cannot be imported ({error}): install '
            "the distribution's python3-libvirt, or libvirt-python in the "
            'version of the installed libvirt'
        ) from error
    # Without this, libvirt prints every error itself.
    libvirt.registerErrorHandler(lambda context, error: None, None)
    return libvirt


def _message(error: Exception) -> str:
    return ' '.join(str(error).split())


class Connection:
    """One connection. Domains are named by name or UUID."""

    def __init__(self, raw: Any, error: type[Exception]) -> None:
        self._raw = raw
        self._error = error

    def versions(
        self,
    ) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
        """Return libvirt's and the hypervisor's version; None: unknown."""
        return (
            _version(
                self._call('getLibVersion', None, self._raw.getLibVersion)
            ),
            _version(self._call('getVersion', None, self._raw.getVersion)),
        )

    def records(self) -> list[Record]:
        """Return all domains, by name."""
        found = []
        raws = self._call('listAllDomains', None, self._raw.listAllDomains)
        for raw in sorted(raws, key=lambda each: str(each.name())):
            # A domain that is gone by now has nothing.
            with contextlib.suppress(_Gone):
                found.append(self._record(raw, 0))
        return found

    def running(self) -> dict[str, str]:
        """Return the names of all running domains, by UUID."""
        raws = self._call(
            'listAllDomains', None, self._raw.listAllDomains, _ACTIVE
        )
        return {str(raw.UUIDString()): str(raw.name()) for raw in raws}

    def busy(self) -> frozenset[str]:
        """Return the UUIDs of running domains with a job, such as a
        migration; what cannot be asked for counts as one.
        """
        raws = self._call(
            'listAllDomains', None, self._raw.listAllDomains, _ACTIVE
        )
        return frozenset(
            str(raw.UUIDString()) for raw in raws if self._has_job(raw)
        )

    def _has_job(self, raw: Any) -> bool:
        try:
            return int(raw.jobInfo()[0]) != 0
        except self._error as error:
            # A driver without jobs has none.
            return _code(error) != _NO_SUPPORT

    def record(self, name: str, secure: bool = False) -> Record:
        """Return one domain.

        :param secure: include passwords, which a redefinition would otherwise
            lose.
        :raises LibvirtFailed: there is no such domain.
        """
        return self._record(self._find(name), _XML_SECURE if secure else 0)

    def find(self, uuid: str) -> Record | None:
        """Return the domain with a UUID; None: there is no such domain.

        :raises LibvirtFailed: libvirt does not answer.
        """
        try:
            raw = self._call(
                'lookupByUUIDString', uuid, self._raw.lookupByUUIDString, uuid
            )
            return self._record(raw, 0)
        except _Gone:
            return None

    def define(self, name: str, xml: str) -> None:
        """Replace a domain's definition.

        :raises LibvirtFailed: libvirt rejects it; the old one stays.
        """
        LOG.debug('guest %s: define it', name)
        self._call('defineXML', name, self._raw.defineXML, xml)

    def start(self, name: str) -> None:
        """Start a defined domain."""
        LOG.debug('guest %s: start it', name)
        self._call('create', name, self._find(name).create)

    def pin_vcpu(self, name: str, vcpu: int, cpus: frozenset[int]) -> None:
        """Pin a vCPU of a running domain."""
        self._call(
            f'pinVcpuFlags vCPU {vcpu} to {cpuset.format(cpus)}',
            name,
            self._find(name).pinVcpuFlags,
            vcpu,
            _map(cpus),
            _AFFECT_LIVE,
        )

    def vcpu_pins(self, name: str) -> dict[int, frozenset[int]]:
        """Return the affinity that the kernel has for each vCPU's thread."""
        return self._vcpus(name, self._find(name))

    def pin_emulator(self, name: str, cpus: frozenset[int]) -> None:
        """Pin the emulator of a running domain."""
        self._call(
            f'pinEmulator to {cpuset.format(cpus)}',
            name,
            self._find(name).pinEmulator,
            _map(cpus),
            _AFFECT_LIVE,
        )

    def pin_iothread(
        self, name: str, iothread: int, cpus: frozenset[int]
    ) -> None:
        """Pin an iothread of a running domain."""
        self._call(
            f'pinIOThread {iothread} to {cpuset.format(cpus)}',
            name,
            self._find(name).pinIOThread,
            iothread,
            _map(cpus),
            _AFFECT_LIVE,
        )

    def emulator_pin(self, name: str) -> frozenset[int]:
        """Return where the emulator of a running domain may run."""
        return _cpus(
            self._call(
                'emulatorPinInfo',
                name,
                self._find(name).emulatorPinInfo,
                _AFFECT_LIVE,
            )
        )

    def set_metadata(
        self, name: str, xml: str, prefix: str, namespace: str
    ) -> None:
        """Replace a running domain's metadata of one XML namespace."""
        self._call(
            'setMetadata',
            name,
            self._find(name).setMetadata,
            _METADATA_ELEMENT,
            xml,
            prefix,
            namespace,
            _AFFECT_LIVE,
        )

    def drop_metadata(self, name: str, namespace: str) -> None:
        """Remove a running domain's metadata of one XML namespace."""
        self._call(
            'setMetadata',
            name,
            self._find(name).setMetadata,
            _METADATA_ELEMENT,
            None,
            None,
            namespace,
            _AFFECT_LIVE,
        )

    def monitor(self, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Return a function that sends QMP commands to a running domain.

        The first command makes libvirt mark the domain as tainted.
        """
        qemu = importlib.import_module('libvirt_qemu')
        raw = self._find(name)

        def ask(command: dict[str, Any]) -> dict[str, Any]:
            answer = self._call(
                'qemuMonitorCommand',
                name,
                qemu.qemuMonitorCommand,
                raw,
                json.dumps(command),
                0,
            )
            return dict(json.loads(answer))

        return ask

    def _find(self, name: str) -> Any:
        try:
            return self._raw.lookupByName(name)
        except self._error as error:
            with contextlib.suppress(self._error):
                return self._raw.lookupByUUIDString(name)
            raise LibvirtFailed(
                f'lookupByName of domain {name!r}: {_message(error)}'
            ) from error

    def _record(self, raw: Any, flags: int) -> Record:
        name = str(raw.name())

        def call(what: str, function: Callable[..., _T], *args: Any) -> _T:
            return self._call(what, name, function, *args)

        defined = live = None
        vcpus: dict[int, frozenset[int]] = {}
        iothreads: dict[int, frozenset[int]] = {}
        if call('isPersistent', raw.isPersistent):
            defined = call('XMLDesc', raw.XMLDesc, flags | _XML_INACTIVE)
        if call('isActive', raw.isActive):
            try:
                live = call('XMLDesc', raw.XMLDesc, flags)
                vcpus = self._vcpus(name, raw)
                iothreads = self._iothreads(name, raw)
            except LibvirtFailed:
                # It may have stopped in the meantime.
                if call('isActive', raw.isActive):
                    raise
                live, vcpus, iothreads = None, {}, {}
        return Record(
            name, str(raw.UUIDString()), defined, live, vcpus, iothreads
        )

    def _vcpus(self, name: str, raw: Any) -> dict[int, frozenset[int]]:
        """Return the affinity that the kernel has for each vCPU's thread:
        libvirt asks the kernel, not its own records.
        """
        info, maps = self._call('vcpus', name, raw.vcpus)
        return {
            int(each[0]): _cpus(cpus)
            for each, cpus in zip(info, maps, strict=True)
        }

    def _iothreads(self, name: str, raw: Any) -> dict[int, frozenset[int]]:
        try:
            found = raw.ioThreadInfo(_AFFECT_LIVE)
        except self._error as error:
            # Not every driver and QEMU has iothreads.
            if _code(error) in (_NO_SUPPORT, _OPERATION_INVALID):
                return {}
            raise LibvirtFailed(
                f'ioThreadInfo of domain {name!r}: {_message(error)}'
            ) from error
        return {int(number): _cpus(cpus) for number, cpus in found or ()}

    def _call(
        self,
        what: str,
        name: str | None,
        function: Callable[..., _T],
        *args: Any,
    ) -> _T:
        try:
            return function(*args)
        except self._error as error:
            of = '' if name is None else f' of domain {name!r}'
            kind = _Gone if _code(error) == _NO_DOMAIN else LibvirtFailed
            raise kind(f'{what}{of}: {_message(error)}') from error


class _Gone(LibvirtFailed):
    """The domain is gone."""

    @property
    def code(self) -> str:
        return LibvirtFailed.__name__


def _code(error: Any) -> int:
    return int(error.get_error_code() or 0)


def _map(cpus: frozenset[int]) -> tuple[bool, ...]:
    """Return the CPU set in the form of libvirt's Python module."""
    return tuple(cpu in cpus for cpu in range(max(cpus) + 1))


def _cpus(flags: tuple[bool, ...]) -> frozenset[int]:
    return frozenset(cpu for cpu, is_set in enumerate(flags) if is_set)


def _version(number: int) -> tuple[int, int, int] | None:
    """Decode libvirt's form of a version, 1,000,000 * major + 1,000 * minor +
    release (virGetVersion).
    """
    if not number:
        return None
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000
