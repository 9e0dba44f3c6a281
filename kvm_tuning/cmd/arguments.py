"""Options that several commands have."""

import argparse
import os
from typing import TYPE_CHECKING

from kvm_tuning.core.exceptions import WrongUsage

if TYPE_CHECKING:
    from oslo_config import cfg


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add ``--root``."""
    parser.add_argument(
        '--root',
        metavar='DIR',
        help=(
            'Look at the host whose /sys and /proc lie below this directory '
            '(and its configuration, if it is there) instead of this one.'
        ),
    )


def add_request(
    parser: argparse.ArgumentParser, positional: bool = False
) -> None:
    """Add the flavor and the image."""
    about = (
        'What "openstack flavor show -f json" (or yaml) prints, as a file; '
        '- for standard input.'
    )
    if positional:
        parser.add_argument('flavor', metavar='FLAVOR', help=about)
    else:
        parser.add_argument(
            '--flavor', metavar='FLAVOR', required=True, help=about
        )
    parser.add_argument(
        '--image',
        metavar='IMAGE',
        help='What "openstack image show -f json" (or yaml) prints.',
    )


def add_connect(parser: argparse.ArgumentParser) -> None:
    """Add ``--connect``."""
    parser.add_argument(
        '--connect',
        metavar='URI',
        help='Use this libvirt instead of [libvirt] uri.',
    )


def add_detailed(parser: argparse.ArgumentParser) -> None:
    """Add ``--detailed-exit-codes``."""
    parser.add_argument(
        '--detailed-exit-codes',
        action='store_true',
        help='Exit with 4 when something was changed.',
    )


def root(parsed_args: argparse.Namespace) -> str:
    """Return the host's root.

    :raises WrongUsage: it is not a directory.
    """
    path = parsed_args.root or '/'
    if not os.path.isdir(path):
        raise WrongUsage(f'--root {path}: not a directory')
    return str(path)


def configuration(
    options: argparse.Namespace, at: str = '/'
) -> 'cfg.ConfigOpts':
    """Return the configuration of the host below ``at``.

    :param options: the application's options.
    :raises ConfigInvalid: it cannot be read.
    """
    from kvm_tuning import conf

    return conf.load(at, options.config_file, options.config_dir)
