"""Makes hostile texts from good ones, by a seeded generator."""

TOKENS = (
    '', '\0', '\x1b[2J', '\ufeff', '\u202e', "'", '"', '<', '>', '&', '&#0;',
    ']]>', '<!--', '-->', '<?', '?>', '<!DOCTYPE a [<!ENTITY b "c">]>', '&b;',
    '-1', '0', '1e999', '99999999999999999999', '0-65535', '^1', '0-', '1-0',
    '../..', '/etc/passwd', '--help', '%s', '{}', '[]', 'null', 'true',
    '\u0661', '\r\n', '\t', ',', '=', ' ' * 5000, '[' * 2000, '{"a":' * 2000,
    'A' * 70000, '\ud800',
)  # fmt: skip

_LONG = 100_000


def text(rng, good):
    """Return ``good`` with some damage."""
    found = good
    for _each in range(rng.choice((1, 1, 2, 3, 8))):
        found = rng.choice(_DAMAGES)(rng, found)
    return found


def value(rng, good):
    """Return a JSON value with something in it replaced."""
    if isinstance(good, dict) and good and rng.random() < 0.8:
        key = rng.choice(sorted(good))
        changed = dict(good)
        if rng.random() < 0.2:
            del changed[key]
        else:
            changed[key] = value(rng, good[key])
        return changed
    if isinstance(good, list) and good and rng.random() < 0.8:
        changed = list(good)
        index = rng.randrange(len(good))
        changed[index] = value(rng, good[index])
        # Many long texts would be refused for their size, and cost most.
        times = rng.choice((1, 1, 1, 50))
        return changed * (times if len(str(changed)) < _LONG else 1)
    return rng.choice(
        (None, True, -1, 0, 1 << 70, 1.5, '', [], {}, [[]], *TOKENS)
    )


def _insert(rng, good):
    at = rng.randrange(len(good) + 1)
    return good[:at] + rng.choice(TOKENS) + good[at:]


def _replace(rng, good):
    at = rng.randrange(len(good) + 1)
    end = at + rng.choice((1, 1, 3, 10, 100))
    return good[:at] + rng.choice(TOKENS) + good[end:]


def _cut(rng, good):
    return good[: rng.randrange(len(good) + 1)]


def _repeat(rng, good):
    at = rng.randrange(len(good) + 1)
    end = at + rng.choice((5, 30, 200))
    return good[:at] + good[at:end] * rng.choice((2, 3, 300)) + good[end:]


def _character(rng, good):
    at = rng.randrange(len(good) + 1)
    return good[:at] + chr(rng.randrange(1, 0x2FF)) + good[at + 1 :]


_DAMAGES = (_insert, _replace, _replace, _cut, _repeat, _character, _character)
