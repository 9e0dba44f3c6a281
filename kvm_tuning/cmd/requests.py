"""Read what a command line requests: flavor, image, profiles, defaults."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
import os
from typing import TYPE_CHECKING

from kvm_tuning import loader
from kvm_tuning.cmd import files
from kvm_tuning.core import documents, request
from kvm_tuning.core.documents import Flavor, Image, NewFlavor
from kvm_tuning.core.exceptions import UnknownKnob, raise_all
from kvm_tuning.core.nova import spec_names
from kvm_tuning.core.request import Request
from kvm_tuning.hooks.base import Hook

if TYPE_CHECKING:
    from oslo_config import cfg

Profiles = Mapping[str, Mapping[str, str]]


def flavor(path: str) -> Flavor:
    """Return the flavor in a file.

    :raises InvalidDocument: it is none.
    """
    return documents.flavor(files.text(path, 'flavor'), path)


def new_flavor(path: str) -> NewFlavor:
    """Return the flavor in a file, with all that its creation needs.

    :raises InvalidDocument: it is not one.
    """
    return documents.new_flavor(files.text(path, 'flavor'), path)


def image(path: str | None) -> Image | None:
    """Return the image in a file; None for None.

    :raises InvalidDocument: it is none.
    """
    if path is None:
        return None
    return documents.image(files.text(path, 'image'), path)


def profiles(
    hooks: Sequence[Hook], conf: 'cfg.ConfigOpts', root: str = '/'
) -> Profiles:
    """Return all profiles' knob texts.

    :raises ConfigInvalid: one of them is wrong.
    """
    from kvm_tuning.conf.profiles import read, texts

    directory = os.path.join(root, conf.defaults.profiles_dir.lstrip('/'))
    found = read(loader.knobs(hooks), directory)
    return texts(found.values())


def defaults(
    hooks: Sequence[Hook], conf: 'cfg.ConfigOpts'
) -> Mapping[str, str]:
    """Return what this host prefers, checked.

    :raises ConfigInvalid: a knob or its value is wrong.
    """
    from kvm_tuning.conf.defaults import knobs as knobs_of
    from kvm_tuning.conf.profiles import preferred

    knobs = loader.knobs(hooks)
    return {
        key: preferred('[defaults] knobs', key, text, knobs)
        for key, text in knobs_of(conf).items()
    }


def misspelt(asked: Flavor, knobs: Iterable[str]) -> Iterator[UnknownKnob]:
    """Yield an error for each extra spec that is nearly one that exists."""
    origin = f'flavor {asked.name!r}'
    return spec_names.misspelt(asked.extra_specs, knobs, origin)


def read(
    parsed_args: argparse.Namespace,
    hooks: Sequence[Hook],
    conf: 'cfg.ConfigOpts',
    root: str = '/',
) -> Request:
    """Return what the flavor and the image of a command line ask.

    :raises RequestError: what is wrong with them.
    :raises ConfigInvalid: what is wrong with a profile or a default.
    """
    from kvm_tuning.conf import pci

    asked = flavor(parsed_args.flavor)
    knobs = loader.knobs(hooks)
    raise_all(list(misspelt(asked, knobs)))
    return request.read(
        asked,
        image(parsed_args.image),
        knobs,
        profiles(hooks, conf, root),
        defaults(hooks, conf),
        pci.aliases(conf),
    )
