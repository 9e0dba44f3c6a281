"""Read configuration with oslo.config.

There is no global ``CONF``: :func:`read` makes one, and it is passed to
what needs it. :func:`kvm_tuning.host.configuration.load` reads a host's.
"""

from collections.abc import Iterable, Sequence
import os

from oslo_config import cfg

from kvm_tuning.conf.opts import Groups
from kvm_tuning.core.exceptions import ConfigInvalid

#: Where the configuration lies, below a host's root.
DIRECTORY = 'etc/kvm-tuning'
FILE = 'kvm-tuning.conf'
PARTS = 'conf.d'

#: Most bytes of one file: far above any real one.
MAX_BYTES = 1 << 20


def read(
    groups: Groups,
    root: str = '/',
    files: Sequence[str] = (),
    directories: Sequence[str] = (),
) -> cfg.ConfigOpts:
    """Return the configuration of the host below ``root``.

    :param groups: all options that may be set.
    :param files: read these instead of the ones below ``root``.
    :param directories: read the ``*.conf`` in these, too.
    :raises ConfigInvalid: a file cannot be read, names an option that there
        is none of, or gives one a value that is outside of its type.
    """
    conf = _registered(groups)
    if not files and not directories:
        files, directories = _present(root)
    for path in (*files, *_parts(directories)):
        _bound(path)
    try:
        _parse(conf, files, directories)
        read_from = (*conf.config_file, *_parts(conf.config_dir))
        _read_all(conf, groups, read_from)
        for path in read_from:
            _check_names(path, groups)
    except (cfg.Error, ValueError, OSError) as exc:
        names = ', '.join((*files, *directories))
        text = ' '.join(str(exc).split())
        raise ConfigInvalid(f'{names}: {text}') from exc
    return conf


def without_files(groups: Groups) -> cfg.ConfigOpts:
    """Return the configuration of a host that has none."""
    conf = _registered(groups)
    _parse(conf, (), ())
    return conf


def tree(paths: Sequence[str], root: str = '/') -> list[str]:
    """Return files and directories, and the ``*.conf`` in the directories
    and in those below them, as absolute paths below ``root``.
    """
    found = []
    for path in paths:
        path = os.path.abspath(path)
        found.append(path)
        base = os.path.join(root, path.lstrip('/'))
        for where, folders, files in os.walk(base):
            inside = os.path.join(path, os.path.relpath(where, base))
            found += [
                os.path.normpath(os.path.join(inside, name))
                for name in (*folders, *files)
                if name in folders or name.endswith('.conf')
            ]
    return found


def written(conf: cfg.ConfigOpts) -> bool:
    """Return whether any file was read: this host has been configured."""
    return bool(conf.config_file or conf.config_dir)


def _registered(groups: Groups) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    for group, options in groups:
        conf.register_opts(options, group=group)
    return conf


def _parse(
    conf: cfg.ConfigOpts, files: Sequence[str], directories: Sequence[str]
) -> None:
    conf(
        [],
        project='kvm-tuning',
        default_config_files=list(files),
        default_config_dirs=list(directories),
        use_env=False,
    )


def _present(root: str) -> tuple[list[str], list[str]]:
    """Return the configuration file and directory that are there."""
    base = os.path.join(root, DIRECTORY)
    path = os.path.join(base, FILE)
    parts = os.path.join(base, PARTS)
    return (
        [path] if os.path.lexists(path) else [],
        [parts] if os.path.isdir(parts) else [],
    )


def _parts(directories: Sequence[str]) -> list[str]:
    found = []
    for directory in directories:
        try:
            names = sorted(os.listdir(directory))
        except OSError as exc:
            raise ConfigInvalid(f'{directory}: {exc.strerror}') from exc
        found += [
            os.path.join(directory, name)
            for name in names
            if name.endswith('.conf')
        ]
    return found


def _bound(path: str) -> None:
    """Refuse what is not a regular file of bounded size."""
    try:
        size = os.stat(path).st_size
    except (OSError, ValueError) as exc:
        why = getattr(exc, 'strerror', None) or str(exc)
        raise ConfigInvalid(f'{path}: {why}') from exc
    if not os.path.isfile(path):
        raise ConfigInvalid(f'{path} is not a file')
    if size > MAX_BYTES:
        raise ConfigInvalid(
            f'{path} has {size} bytes, more than {MAX_BYTES}: no configuration'
        )


def _read_all(
    conf: cfg.ConfigOpts, groups: Groups, files: Sequence[str]
) -> None:
    """Read every option once: oslo.config parses a value when it is read,
    and a wrong one must be reported at the start.

    :raises ConfigInvalid: the file, the option, its value and why not.
    """
    for group, options in groups:
        for option in options:
            try:
                conf[group][option.dest]
            except (cfg.Error, ValueError) as exc:
                path, value = _source(group, option.dest, files)
                raise ConfigInvalid(
                    f'{path}: [{group}] {option.dest} = {value}: {_why(exc)}'
                ) from exc


def _source(group: str, name: str, files: Sequence[str]) -> tuple[str, str]:
    """Return the file that sets an option, the last of several, and how."""
    found = ', '.join(files), '?'
    for path in files:
        values = _sections(path).get(group, {}).get(name)
        if values:
            found = path, values[-1]
    return found


def _why(error: Exception) -> str:
    """Return what is wrong with a value, without how oslo.config calls its
    source.
    """
    cause = error.__context__
    if isinstance(error, cfg.ConfigFileValueError) and isinstance(
        cause, Exception
    ):
        error = cause
    if isinstance(error, cfg.TemplateSubstitutionError | cfg.NoSuchOptError):
        return f'{error}; a $ itself is written $$'
    return ' '.join(str(error).split())


def _sections(path: str) -> dict[str, dict[str, list[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(path, sections).parse()
    return sections


def _check_names(path: str, groups: Groups) -> None:
    """Refuse what is not an option: oslo.config ignores it."""
    known = {
        group: {option.dest for option in options} for group, options in groups
    }
    for group, values in _sections(path).items():
        # A sample has a [DEFAULT] without options.
        if values and group not in known:
            raise ConfigInvalid(
                f'{path}: [{group}] is not a group of options'
                f'{_like(group, known)}'
            )
        for name in values:
            if name not in known[group]:
                raise ConfigInvalid(
                    f'{path}: [{group}] {name} is not an option'
                    f'{_like(name, known[group])}'
                )


def _like(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]}?' if close else ''
