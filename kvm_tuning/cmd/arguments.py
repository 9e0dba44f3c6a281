"""Options that several commands have."""

import argparse
from collections.abc import Iterable
import os
from typing import TYPE_CHECKING

from kvm_tuning.cmd import complete
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


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add names of guests."""
    complete.completed_by(
        parser.add_argument(
            'names',
            metavar='NAME',
            nargs='*',
            help='Name or UUID of a domain; several are possible.',
        ),
        complete.guests,
    )


def add_cpusets(parser: argparse.ArgumentParser) -> None:
    """Add ``--dedicated-cpus`` and ``--shared-cpus``."""
    for kind in ('dedicated', 'shared'):
        parser.add_argument(
            f'--{kind}-cpus',
            metavar='CPUSET',
            help=f'Use these instead of [placement] {kind}_cpus.',
        )


def cpusets(parsed_args: argparse.Namespace) -> dict[str, str]:
    """Return the CPU lists that were given, by option."""
    given = {
        '--dedicated-cpus': parsed_args.dedicated_cpus,
        '--shared-cpus': parsed_args.shared_cpus,
    }
    return {name: text for name, text in given.items() if text is not None}


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
    options: argparse.Namespace, at: str = '/', changing: bool = False
) -> 'cfg.ConfigOpts':
    """Return the configuration of the host below ``at``.

    What is read without being named must be root's (or the caller's) alone;
    what is named, too, where it says what root changes.

    :param options: the application's options.
    :param changing: whether the host is changed by it.
    :raises ConfigInvalid: it cannot be read, or is somebody else's.
    """
    from kvm_tuning.host import configuration as loaded

    check_owners(options, at, changing)
    return loaded.load(at, options.config_file, options.config_dir)


def check_owners(
    options: argparse.Namespace, at: str = '/', changing: bool = False
) -> None:
    """See whose the files are that :func:`configuration` would read.

    :raises ConfigInvalid: one is somebody else's.
    """
    from kvm_tuning import conf

    named = [*options.config_file, *options.config_dir]
    if named and changing:
        _check_owned(conf.tree(named), '/')
    elif not named and (changing or at == '/'):
        # The directory has the files of other services' users, too.
        base = os.path.join('/', conf.DIRECTORY)
        parts = conf.tree([os.path.join(base, conf.PARTS)], at)
        _check_owned([base, os.path.join(base, conf.FILE), *parts], at)


def _check_owned(paths: Iterable[str], at: str) -> None:
    """:raises ConfigInvalid: one is not root's alone."""
    from kvm_tuning.core.exceptions import ConfigInvalid
    from kvm_tuning.host.access import owned

    for path in paths:
        try:
            owned.check(path, at)
        except owned.Untrusted as error:
            raise ConfigInvalid(
                f'{error.strerror}: the configuration must be owned by root '
                f'and not be writable by others (chown root, chmod go-w)'
            ) from error
        except OSError:
            # What cannot be opened is reported where it is read.
            continue
