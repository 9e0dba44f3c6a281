"""Parse the values that kernel attributes show."""


def choice(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the value in force and all that there are: ``madvise``, and the
    three of ``always [madvise] never``. Without a bracket the value is None.
    """
    words = text.split()
    options = tuple(word.strip('[]') for word in words)
    for word, option in zip(words, options, strict=True):
        if word.startswith('['):
            return option, options
    return None, options


def plain(text: str) -> str:
    """Return the value in force: ``madvise`` of ``always [madvise] never``,
    ``1`` of a module's ``Y``.
    """
    chosen, _options = choice(text)
    if chosen is not None:
        return chosen
    return {'Y': '1', 'N': '0'}.get(text, text)
