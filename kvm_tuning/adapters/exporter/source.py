"""Read what the metrics show, each part at the interval that it can bear."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from kvm_tuning.adapters import assessment, audit, capacity, connection
from kvm_tuning.adapters.capacity import Room
from kvm_tuning.core.assess.assess import Assessed
from kvm_tuning.core.assess.finding import Finding, Severity
from kvm_tuning.core.claims import Record
from kvm_tuning.core.domain import Domain
from kvm_tuning.core.exceptions import InvalidDocument, KvmTuningError
from kvm_tuning.core.plan import Hook
from kvm_tuning.core.request import Request
from kvm_tuning.host import ready

if TYPE_CHECKING:
    from oslo_config import cfg

_T = TypeVar('_T')

#: Seconds for which the answer of a part is kept. Capacity plans guests;
#: promises are compared with smaps, which walks the guests' page tables.
ROOM_SECONDS = 60.0
PROMISES_SECONDS = 600.0
#: In the metadata of each guest that Nova made.
_NOVA = '{http://openstack.org/xmlns/libvirt/nova/1.1}'
_INSTANCE = f'metadata/{_NOVA}instance'


@dataclass(frozen=True, slots=True)
class Settings:
    """What is read, and from where."""

    conf: 'cfg.ConfigOpts'
    root: str = '/'
    #: None: libvirt is not asked.
    uri: str | None = None
    hooks: Sequence[Hook] = ()
    requests: Sequence[Request] = ()
    #: 0: promises are not compared.
    promises_seconds: float = PROMISES_SECONDS
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one time; None: it could not be."""

    guests: tuple[Assessed, ...] | None
    #: Flavor and project by UUID.
    made_from: Mapping[str, tuple[str, str]]
    room: Room | None
    #: Why the host is not ready.
    reasons: tuple[str, ...] | None
    host: tuple[Finding, ...] | None
    #: Broken promises by UUID and name of the guest; None: not compared.
    broken: Mapping[tuple[str, str], int] | None
    #: Whether each part could be read.
    worked: Mapping[str, bool] = field(default_factory=dict)
    seconds: float = 0


class Kept(Generic[_T]):
    """An answer that is read again once it is too old."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._answer: tuple[float, _T | None] | None = None

    def get(self, read: Callable[[], _T | None]) -> _T | None:
        """Return the answer, at most as old as it may be."""
        now = self._clock()
        if self._answer is None or now - self._answer[0] >= self._seconds:
            self._answer = (now, read())
        return self._answer[1]


class Source:
    """Reads snapshots of one host; one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        clock = settings.clock
        self._room = Kept[Room](ROOM_SECONDS, clock)
        self._promises = Kept[Mapping[tuple[str, str], int]](
            settings.promises_seconds, clock
        )
        self._worked: dict[str, bool] = {}

    def read(self) -> Snapshot:
        """Return what can be read now. What cannot is left out, and does not
        keep the rest from being read.
        """
        settings = self._settings
        root, conf = settings.root, settings.conf
        started = settings.clock()
        records = self._try('libvirt', self._records) or []
        # Page tables are never walked for a scrape.
        how = assessment.How(root, walk=False)
        assessed = self._try(
            'guests', lambda: assessment.assessment(records, how)
        )
        promises = settings.uri is not None and settings.promises_seconds
        return Snapshot(
            guests=None if assessed is None else assessed.guests,
            made_from={each.uuid: _made_from(each) for each in records},
            room=self._room.get(
                lambda: self._try(
                    'capacity',
                    lambda: capacity.room(
                        root, conf, settings.hooks, settings.requests, records
                    ),
                )
            ),
            reasons=self._try('ready', lambda: ready.check(root, conf)),
            host=self._try('host', lambda: assessment.of_host(root, conf)),
            broken=self._promises.get(
                lambda: self._try('promises', self._broken)
            )
            if promises
            else None,
            worked=dict(self._worked),
            seconds=settings.clock() - started,
        )

    def _try(self, part: str, read: Callable[[], _T]) -> _T | None:
        try:
            found = read()
        except KvmTuningError:
            self._worked[part] = False
            return None
        self._worked[part] = True
        return found

    def _records(self) -> list[Record]:
        if self._settings.uri is None:
            return []
        with connection.open(self._settings.uri, read_only=True) as libvirt:
            return libvirt.records()

    def _broken(self) -> Mapping[tuple[str, str], int]:
        settings = self._settings
        assert settings.uri is not None
        with connection.open(settings.uri, read_only=True) as libvirt:
            uuids = {each.name: each.uuid for each in libvirt.records()}
            found = audit.audit(libvirt, settings.conf, root=settings.root)
        return {
            (uuids.get(each.guest, ''), each.guest): sum(
                finding.severity is Severity.ERROR for finding in each.findings
            )
            for each in found
        }


def _made_from(record: Record) -> tuple[str, str]:
    """Return the flavor and the project of a guest; '' where unknown."""
    try:
        shown = record.running or record.definition
    except InvalidDocument:
        return '', ''
    if shown is None:
        return '', ''
    return _flavor(shown), _attribute(shown, f'{_NOVA}owner/{_NOVA}project')


def _flavor(shown: Domain) -> str:
    if shown.receipt is not None:
        return shown.receipt.flavor
    return _attribute(shown, f'{_NOVA}flavor', 'name')


def _attribute(shown: Domain, path: str, name: str = 'uuid') -> str:
    found = shown.root.find(f'{_INSTANCE}/{path}')
    return '' if found is None else found.get(name, '')
