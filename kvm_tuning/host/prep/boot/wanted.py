"""What is wanted of every place that a boot loader takes kernel arguments
from, and which of them the running kernel has.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kvm_tuning.host.inventory.host import Host
from kvm_tuning.host.prep.boot import effect
from kvm_tuning.host.prep.goals import (
    Argument,
    Goal,
    Item,
    Unseen,
    Value,
    When,
    setting,
)
from kvm_tuning.host.prep.journal import Journal
from kvm_tuning.host.prep.kinds.kernel_arguments import CONCERN, KIND

GIVEN = 'given'
NOT_YET = 'not yet'


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of every place."""

    host: Host
    arguments: tuple[Argument, ...]
    #: Names of which no other value may linger; of huge pages it is the
    #: sizes of ``arguments``.
    managed: tuple[str, ...]
    record: Journal
    #: What the running kernel has, and why another start would not help.
    running: str
    shortfall: str

    @property
    def value(self) -> str:
        """The arguments as a text."""
        return ' '.join(map(str, self.arguments))

    def goal(
        self,
        name: str,
        found: Value,
        wanted: str,
        dropped: str = '',
        commands: Iterable[Iterable[str]] = (),
    ) -> Goal:
        """Return the goal for one place.

        :param dropped: what to say of arguments that go.
        :param commands: those that follow a write.
        """
        reason = '; '.join(dict.fromkeys(a.reason for a in self.arguments))
        if found != wanted:
            for command in commands:
                dropped += f'; apply then runs {" ".join(command)}'
        return Goal(
            setting(KIND, name, wanted),
            CONCERN,
            found,
            reason + dropped,
            running=self.running,
            running_wanted=GIVEN,
            when=When.REBOOT,
            title=f'kernel arguments in /{name}',
            shortfall=self.shortfall,
        )

    def unseen(self, subject: str, reason: object) -> Unseen:
        """Return a row for a place that cannot be judged."""
        return Unseen(CONCERN, subject, str(reason), self.value, self.running)


#: Yields what one family of places takes.
Family = Callable[[Request], Iterator[Item]]


def request(
    host: Host,
    arguments: Iterable[Argument],
    managed: Iterable[str],
    record: Journal | None = None,
) -> Request:
    """Return the request, with what the running kernel has of it."""
    arguments = tuple(arguments)
    short = list(effect.shortfalls(host, arguments))
    reasons = list(dict.fromkeys(s.reason for s in short if s.reason))
    missing = [s for s in short if not s.reason]
    running = GIVEN
    if reasons:
        running = f'not taken: {", ".join(s.argument.key for s in short)}'
    elif missing:
        running = NOT_YET
    return Request(
        host,
        arguments,
        tuple(managed),
        record or Journal(),
        running,
        '; '.join(reasons) if reasons and not missing else '',
    )
