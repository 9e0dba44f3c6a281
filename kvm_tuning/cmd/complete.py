"""``kvm-tuning complete``: completion of commands and values for shells."""

import argparse
from collections.abc import Callable, Iterable, Sequence
import os
import shlex

from kvm_tuning.cmd.command import Command
from kvm_tuning.core.exceptions import KvmTuningError

_BASH = """\
# Completion of kvm-tuning for bash: the program itself names what can follow.
_kvm_tuning() {
  local line=${COMP_LINE:0:COMP_POINT} word each
  COMPREPLY=()
  while IFS= read -r each; do
    COMPREPLY+=("$each")
  done < <(kvm-tuning complete --line "$line" 2>/dev/null)
  # bash takes a colon for the end of a word, unless it is told otherwise.
  word=${line##*[[:space:]]}
  if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
  fi
}
complete -o bashdefault -o default -F _kvm_tuning kvm-tuning
"""
_ZSH = """\
#compdef kvm-tuning
# Completion of kvm-tuning for zsh: the program itself names what can follow.
_kvm_tuning() {
  local -a found
  local line="${(j: :)words[1,CURRENT]}"
  found=("${(@f)$(kvm-tuning complete --line "$line" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then
    compadd -a found
  else
    _files
  fi
}
compdef _kvm_tuning kvm-tuning
"""
_FISH = """\
# Completion of kvm-tuning for fish: the program itself names what can follow.
complete -c kvm-tuning \\
  -a '(kvm-tuning complete --line (commandline -cp | string collect))'
"""
SCRIPTS = {'bash': _BASH, 'fish': _FISH, 'zsh': _ZSH}
PROGRAM = 'kvm-tuning'


class Complete(Command):
    """Print a script that completes commands, options and values.

    Values are those of options with a choice, knobs, and the guests that
    libvirt has; elsewhere the shell offers files.
    """

    examples = (
        'kvm-tuning complete --shell bash '
        '> /usr/share/bash-completion/completions/kvm-tuning',
        'kvm-tuning complete --shell zsh '
        '> /usr/local/share/zsh/site-functions/_kvm-tuning',
        'kvm-tuning complete --shell fish '
        '> /etc/fish/completions/kvm-tuning.fish',
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--shell',
            choices=sorted(SCRIPTS),
            default='bash',
            help='Print the script for this shell (default: bash).',
        )
        parser.add_argument(
            '--line',
            metavar='TEXT',
            help=(
                'Print what can be the last word of this command line '
                'instead, one a line; the scripts call it.'
            ),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if parsed_args.line is None:
            self.app.stdout.write(SCRIPTS[parsed_args.shell])
            return self.status
        *words, last = _words(parsed_args.line)
        for each in sorted(set(self._candidates(words))):
            if each.startswith(last):
                self.app.stdout.write(f'{each}\n')
        return self.status

    def _candidates(self, words: Sequence[str]) -> Iterable[str]:
        """Return what can follow ``words``, which follow the program."""
        words, value = _behind_options(self.app.parser, words)
        if value is not None:
            return _values(value)
        names = [name for name, _load in self.app.command_manager]
        following = _next_words(names, words)
        if following:
            options = [] if words else _options(self.app.parser)
            return [*following, *options]
        try:
            found = self.app.command_manager.find_command(list(words))
        except ValueError:
            # There is no such command.
            return ()
        command, _name, rest = found
        parser = command(self.app, None).get_parser(PROGRAM)
        rest, value = _behind_options(parser, rest, everywhere=True)
        if value is not None:
            return _values(value)
        return [*_options(parser), *_positional(parser, rest)]


def completed_by(
    action: argparse.Action, values: Callable[[], Iterable[str]]
) -> None:
    """Have the values of an argument completed by what ``values`` returns."""
    # The name that argcomplete looks for, too.
    setattr(action, 'completer', values)  # noqa: B010


def guests() -> list[str]:
    """Return the names of libvirt's domains; none where it cannot be asked."""
    from kvm_tuning.adapters import connection
    from kvm_tuning.host import configuration

    try:
        uri = configuration.load().libvirt.uri
        with connection.open(uri, read_only=True) as libvirt:
            return [record.name for record in libvirt.records()]
    except KvmTuningError:
        return []


def knobs() -> list[str]:
    """Return the names of all knobs."""
    from kvm_tuning import loader

    return list(loader.knobs(loader.load()))


def _words(line: str) -> list[str]:
    """Return the words behind the program's name; the last one, which can be
    empty, is the one that is written.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ''
    words: list[str] = []
    try:
        words += lexer
    except ValueError:
        # A quote that is still open.
        words = line.split()
    if not line or line[-1:].isspace():
        words.append('')
    for index, word in enumerate(words[:-1]):
        if os.path.basename(word) == PROGRAM:
            return words[index + 1 :]
    return words[1:] or ['']


def _next_words(names: Iterable[str], words: Sequence[str]) -> set[str]:
    """Return the words by which names of commands go on behind ``words``."""
    count = len(words)
    return {
        parts[count]
        for name in names
        if len(parts := name.split()) > count
        and tuple(parts[:count]) == tuple(words)
    }


def _behind_options(
    parser: argparse.ArgumentParser,
    words: Sequence[str],
    everywhere: bool = False,
) -> tuple[list[str], argparse.Action | None]:
    """Return the words that are not of options, and the option of which the
    next word is the value.

    :param everywhere: also options behind other words.
    """
    known = {
        text: action
        for action in _actions(parser)
        for text in action.option_strings
    }
    rest: list[str] = []
    waiting: argparse.Action | None = None
    for index, word in enumerate(words):
        if waiting is not None:
            waiting = None
        elif word.startswith('-') and (everywhere or not rest):
            action = known.get(word)
            takes = action is not None and action.nargs != 0
            waiting = action if takes else None
        elif everywhere:
            rest.append(word)
        else:
            return list(words[index:]), None
    return rest, waiting


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        text
        for action in _actions(parser)
        for text in action.option_strings
        if text.startswith('--')
    ]


def _positional(
    parser: argparse.ArgumentParser, rest: Sequence[str]
) -> Iterable[str]:
    """Return values of the positional argument that comes behind ``rest``."""
    place = 0
    for action in _actions(parser):
        if action.option_strings:
            continue
        many = action.nargs in ('*', '+')
        if place == len(rest) or many:
            return set(_values(action)) - set(rest)
        place += 1
    return ()


def _values(action: argparse.Action) -> Iterable[str]:
    if action.choices is not None:
        return map(str, action.choices)
    completer = getattr(action, 'completer', None)
    return () if completer is None else completer()


def _actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    # argparse has no public way to list what a parser takes.
    return parser._actions
