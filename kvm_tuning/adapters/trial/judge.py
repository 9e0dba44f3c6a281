"""Have libvirt judge a planned domain before the host's own one sees it."""

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass, field
import logging
import os
import re
import stat

from lxml import etree

from kvm_tuning.adapters.trial import instance
from kvm_tuning.adapters.trial.instance import Answer, Instance, Unavailable
from kvm_tuning.core import domain
from kvm_tuning.core.audit import readback
from kvm_tuning.core.domain import Domain

LOG = logging.getLogger(__name__)

_Version = tuple[int, int, int]
#: Starts a throw-away libvirt.
Start = Callable[[], contextlib.AbstractContextManager[Instance]]

# The libvirt of this host, not one behind ssh or TLS.
_LOCAL = re.compile(r'qemu(\+unix)?:///(system|session)(\?.*)?\Z')


@dataclass(frozen=True, slots=True)
class Verdict:
    """What libvirt says to a planned domain."""

    #: Why it is refused; '' when it is taken as it is planned.
    refused: str = ''
    #: Why nobody has judged; '' when somebody has.
    not_judged: str = ''


@dataclass
class Judge:
    """Judges the plans of one host. It starts a libvirt at the first
    document, and again when one has died.
    """

    start: Start = instance.running
    #: The version of the libvirt that will get the domain; None: not known.
    version: _Version | None = None
    #: Why there is nobody to judge; '' when there is.
    missing: str = ''
    #: Whether a domain is refused that is refused as it is, too.
    strict: bool = False
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _instance: Instance | None = None
    _known: dict[str, Answer] = field(default_factory=dict)

    def judge(self, before: Domain, tuned: str) -> Verdict:
        """Return what libvirt says to ``tuned``, the planned XML.

        :param before: the domain as it is.
        """
        if self.missing:
            return Verdict(not_judged=self.missing)
        untuned = domain.undo(before)
        strange = _strange_emulator(before)
        if strange is not None:
            return Verdict(
                not_judged=f'libvirt would have to start {strange}, which is '
                f'not a QEMU that only root can write'
            )
        try:
            first, second = self.define(untuned), self.define(tuned)
        except Unavailable as error:
            self.missing = f'no libvirt can be started for a trial: {error}'
            return Verdict(not_judged=self.missing)
        if second.xml is None and first.xml is None and not self.strict:
            return Verdict(
                not_judged=f'the libvirt of this host does not take the '
                f'domain as it is: {first.error}'
            )
        if second.xml is None:
            return Verdict(refused=second.error)
        return Verdict(refused=_altered(untuned, tuned, first, second.xml))

    def close(self) -> None:
        """End what was started."""
        self._instance = None
        self._open.close()

    def define(self, xml: str) -> Answer:
        """Return what libvirt makes of a document.

        :raises Unavailable: nobody can be asked.
        """
        answer = self._known.get(xml)
        if answer is None:
            running = self._instance
            fresh = running is None or not running.alive
            if running is None or fresh:
                running = self._started()
            LOG.debug('have a libvirt of our own judge the domain')
            answer = running.define(xml)
            if answer.died and not fresh:
                # A document before it may have broken the process.
                answer = self._started().define(xml)
            self._known[xml] = answer
        return answer

    def _started(self) -> Instance:
        self._open.close()
        running = self._open.enter_context(self.start())
        if self.version is not None and running.version != self.version:
            ours, theirs = (
                '.'.join(map(str, each))
                for each in (running.version, self.version)
            )
            raise Unavailable(
                f'it is libvirt {ours}, and the daemon is libvirt {theirs}'
            )
        self.version = running.version
        self._instance = running
        return running


@contextlib.contextmanager
def of_host(
    uri: str, version: _Version | None, strict: bool = False
) -> Iterator[Judge]:
    """Make the judge of plans for the libvirt at ``uri``, for the time of a
    ``with``.

    :param version: its version; None: not known.
    :param strict: whether a domain is refused that is refused as it is, too.
    """
    missing = ''
    if not _LOCAL.match(uri):
        missing = f'libvirt at {uri} is not the one of this host'
    judge = Judge(version=version, missing=missing, strict=strict)
    try:
        yield judge
    finally:
        judge.close()


def _altered(untuned: str, tuned: str, first: Answer, stored: str) -> str:
    """Return what libvirt would change of ``tuned``, and does not change of
    the domain as it is.
    """
    known: set[readback.Alteration] = set()
    if first.xml is not None:
        known = set(readback.altered(_parse(untuned), _parse(first.xml)))
    lost = [
        str(each)
        for each in readback.altered(_parse(tuned), _parse(stored))
        if each not in known
    ]
    return f'it would not keep {"; ".join(lost)}' if lost else ''


def _parse(xml: str) -> etree._Element:
    return domain.read_without_receipt(xml).root


def _strange_emulator(found: Domain) -> str | None:
    """Return the program of the domain that is not to be started; None when
    there is none.

    libvirt asks a program that it does not know what it can do, and the
    document may come from anybody.
    """
    path = found.root.findtext('devices/emulator')
    if path is None:
        return None
    try:
        real = os.path.realpath(path.strip(), strict=True)
        status = os.stat(real)
    except OSError:
        # libvirt says that it is missing.
        return None
    name = os.path.basename(real)
    good = (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == 0
        and not status.st_mode & 0o022
        and name.startswith(('qemu-system-', 'qemu-kvm', 'kvm'))
    )
    return None if good else path.strip()
