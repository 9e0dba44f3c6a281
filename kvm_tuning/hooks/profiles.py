"""Profiles: named sets of preferences."""

from collections.abc import Iterable

from kvm_tuning.core.effects import Consequence
from kvm_tuning.core.exceptions import RequestError
from kvm_tuning.core.knobs import Knob, Source, Word
from kvm_tuning.core.request import PROFILE, Request
from kvm_tuning.hooks.base import Hook


class Profiles(Hook):
    """The values of a profile are read with the request; this hook owns the
    knob and reports what the profile stands for.
    """

    name = 'profiles'
    knobs = (
        Knob(
            PROFILE,
            Word('the name of a profile'),
            'A named set of values for other knobs. They are preferences: '
            'what this host cannot keep is recorded, never fatal.',
        ),
    )

    def check(self, request: Request) -> Iterable[RequestError | Consequence]:
        values = [
            f'{asked.key}={asked.text}'
            for asked in request.asked.values()
            if asked.source is Source.PROFILE
        ]
        if values:
            yield Consequence(
                'profile',
                'operator',
                f'profile {request.value(PROFILE)} prefers '
                f'{", ".join(values)}',
            )
