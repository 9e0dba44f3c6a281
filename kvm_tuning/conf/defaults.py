"""``[defaults]``: what this host prefers for every guest."""

from collections.abc import Mapping
import re
from typing import Any

from oslo_config import cfg, types

from kvm_tuning.core.exceptions import ConfigInvalid

GROUP = 'defaults'


class KnobText(types.ConfigType):
    """One ``name=value``. (oslo.config's own dictionaries split at the first
    colon, and knobs have one in their names.)
    """

    def __init__(self) -> None:
        super().__init__(type_name='knob=value')

    def __call__(self, value: Any) -> str:
        text = str(value).strip()
        if not re.fullmatch(r'[^=\s]+\s*=\s*\S.*', text):
            raise ValueError(
                f'want a knob and its value such as kvm:disk_io=native, not '
                f'{text[:64]!r}'
            )
        return text

    def __repr__(self) -> str:
        return 'KnobText'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnobText)

    def __hash__(self) -> int:
        return hash(KnobText)

    def _formatter(self, value: Any) -> str:
        return str(value)


OPTIONS = (
    cfg.MultiOpt(
        'knobs',
        item_type=KnobText(),
        help="""
What is preferred for every guest on this host, one knob a line, such as
``knobs = kvm:page_sharing=false``. Give the option several times for several
knobs. A flavor's and a profile's values go first. A preference that this
host cannot keep for a guest is recorded in its receipt and reported by
``guest audit``; it never stops a guest. ``kvm-tuning knob list`` shows what
there is.
""",
    ),
    cfg.StrOpt(
        'profiles_dir',
        default='/etc/kvm-tuning/profiles.d',
        help="""
Directory of this site's own profiles: one YAML file a profile, named as the
profile, with the keys ``help`` and ``knobs``. A file here replaces the
shipped profile of the same name. It may be missing.
""",
    ),
)


def knobs(conf: cfg.ConfigOpts) -> Mapping[str, str]:
    """Return the preferred knobs' texts by name.

    :raises ConfigInvalid: one knob has two values.
    """
    found: dict[str, str] = {}
    for text in conf[GROUP].knobs or ():
        name, _, value = (part.strip() for part in text.partition('='))
        if found.setdefault(name, value) != value:
            raise ConfigInvalid(
                f'[{GROUP}] knobs: {name} has two values, {found[name]!r} '
                f'and {value!r}'
            )
    return found
