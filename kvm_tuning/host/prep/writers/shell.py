"""What commands of a shell write into /sys and /proc, as far as they show.

Not a shell: it follows variables that the same text sets, loops over words,
and the arguments of a script. What it cannot follow becomes a part of the
path that is not known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
import re
import shlex

from kvm_tuning.host.access.sysfs import Tree
from kvm_tuning.host.prep.writers.target import UNKNOWN

_VARIABLE = re.compile(
    r'\$(?:\{(\w+)(?:[:#%/+=?-][^}]*)?\}|(\w+)|\((?:[^()]|\([^()]*\))*\))'
    r'|`[^`]*`'
)
_ASSIGNED = re.compile(
    r'(?:^|[;&|\s])(?:export\s+|local\s+|readonly\s+|declare\s+)?'
    r"""([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s;&|]*)"""
)
_LOOP = re.compile(r'\bfor\s+(\w+)\s+in\s+([^;\n]*)')
_WORD = r"""("[^"]*"|'[^']*'|[^\s;&|<>()]+)"""
_REDIRECTED = re.compile(r'(?:^|[^0-9&<>])[1]?>{1,2}[|]?\s*' + _WORD)
_TEE = re.compile(r'\btee\s+((?:-\w+\s+)*)' + _WORD)
_DD = re.compile(r'\bdd\b[^;&\n]*\bof=' + _WORD)
_SYSCTL = re.compile(r'\bsysctl\s+(?:-{1,2}\w+\s+)*([\w./-]+)\s*=\s*' + _WORD)
_SAID = re.compile(
    r"""\b(?:echo|printf)\s+(?:-[neE]+\s+)*(?:["']?%[sdi](?:\\n)?["']?\s+)?"""
    r"""("[^"]*"|'[^']*'|[^\s;&|<>()]+)"""
)
_HERE_STRING = re.compile(r'<<<\s*' + _WORD)
_MOST_PATHS = 256
#: Most characters of a script that are looked at.
_MOST_TEXT = 1 << 17


@dataclass(frozen=True, slots=True)
class Write:
    """A path or a shell pattern, and the value; None: it is not known."""

    path: str
    value: str | None


def writes(
    text: str, variables: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Write]:
    """Yield what a text of commands writes.

    :param variables: those that are set outside of it.
    """
    known = {name: list(each) for name, each in (variables or {}).items()}
    for line in _statements(text[:_MOST_TEXT]):
        for name, words in _LOOP.findall(line):
            known[name] = [
                each for word in _words(words) for each in _expand(word, known)
            ]
        for name, value in _ASSIGNED.findall(line):
            known[name] = list(_expand(_bare(value), known))
        yield from _of_line(line, known)


def _of_line(line: str, known: Mapping[str, Sequence[str]]) -> Iterator[Write]:
    values = _value(line, known)
    paths = [match[1] for match in _REDIRECTED.finditer(line)]
    paths += [match[2] for match in _TEE.finditer(line)]
    paths += [match[1] for match in _DD.finditer(line)]
    for raw in paths:
        for path in _expand(_bare(raw), known):
            yield Write(path, values)
    for name, raw in _SYSCTL.findall(line):
        for value in _expand(_bare(raw), known):
            path = f'/proc/sys/{name.replace(".", "/")}'
            yield Write(path, None if UNKNOWN in value else value)


def _value(line: str, known: Mapping[str, Sequence[str]]) -> str | None:
    match = _SAID.search(line) or _HERE_STRING.search(line)
    if match is None:
        return None
    found = set(_expand(_bare(match[1]), known))
    value = found.pop() if len(found) == 1 else UNKNOWN
    return None if UNKNOWN in value else value.strip()


def _bare(word: str) -> str:
    return word.replace('"', '').replace("'", '')


def _words(text: str) -> list[str]:
    try:
        found = shlex.split(text)
    except ValueError:
        found = text.split()
    return [each for word in found for each in braces(word)]


def braces(word: str) -> list[str]:
    """Return the words that ``a{b,c}d`` or ``a{0..3}`` stands for."""
    match = re.search(r'(?<!\$)\{([^{}]*)\}', word)
    if match is None:
        return [word]
    numbers = re.fullmatch(r'(\d{1,4})\.\.(\d{1,4})', match[1])
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        parts = [str(n) for n in range(first, min(last, first + 255) + 1)]
    elif ',' in match[1]:
        parts = match[1].split(',')
    else:
        return [word]
    return [
        each
        for part in parts
        for each in braces(word[: match.start()] + part + word[match.end() :])
    ]


def _expand(word: str, known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what a word may be, with its variables replaced."""
    for each in braces(word):
        pieces: list[Sequence[str]] = []
        position = 0
        for match in _VARIABLE.finditer(each):
            pieces.append((each[position : match.start()],))
            name = match[1] or match[2]
            pieces.append(known.get(name or '') or (UNKNOWN,))
            position = match.end()
        pieces.append((each[position:],))
        for parts in islice(product(*pieces), _MOST_PATHS):
            yield ''.join(parts)


def _statements(text: str) -> Iterator[str]:
    """Yield the lines of a text without comments, continued ones joined."""
    for line in text.replace('\\\n', ' ').splitlines():
        code = _without_comment(line)
        if code.strip():
            yield from re.split(r';(?!;)|&&|\|\||\bdo\b|\bthen\b', code)


def _without_comment(line: str) -> str:
    quote = ''
    for position, sign in enumerate(line):
        if quote:
            if sign == quote:
                quote = ''
        elif sign in '"\'':
            quote = sign
        elif sign == '#' and (position == 0 or line[position - 1] in ' \t;'):
            return line[:position]
    return line


def of_command(
    tree: Tree,
    words: Sequence[str],
    variables: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Write]:
    """Yield what a command writes that is run without a shell: ``sh -c``
    with its text, ``sysctl``, or a script that can be read.
    """
    words = list(words)
    while words and words[0].rpartition('/')[2] in ('env', 'sudo', 'nice'):
        words = words[1:]
    if not words:
        return
    program = words[0].rpartition('/')[2]
    known = dict(variables or {})
    if program in ('sh', 'bash', 'dash', 'ksh', 'zsh', 'busybox'):
        options = [w for w in words[1:] if w.startswith('-')]
        rest = [w for w in words[1:] if not w.startswith('-')]
        if any('c' in option for option in options) and rest:
            yield from writes(rest[0], {**known, **_numbered(rest[1:], 0)})
            return
        words = rest
    elif program in ('sysctl', 'tee', 'dd'):
        yield from writes(shlex.join(words), known)
        return
    if words:
        yield from of_script(tree, words[0], words[1:], known)


def of_script(
    tree: Tree,
    path: str,
    arguments: Sequence[str] = (),
    variables: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Write]:
    """Yield what a script writes; nothing of what is not a script."""
    if not path.startswith('/'):
        return
    raw = tree.raw(path.lstrip('/'), limit=1 << 26)
    if raw is None or not raw.startswith(b'#!'):
        return
    text = raw.decode(errors='replace')
    known = {**(variables or {}), **_numbered(arguments, 1)}
    known['@'] = known['*'] = list(arguments)
    yield from writes(text, known)


def _numbered(words: Iterable[str], first: int) -> dict[str, Sequence[str]]:
    return {str(n): [word] for n, word in enumerate(words, first)}
