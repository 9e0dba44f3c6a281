"""Units of libvirt's scaled integers (formatdomain, "Memory Allocation")."""

_PREFIXES = 'kmgtpe'
_BYTES = frozenset({'b', 'byte', 'bytes'})


def factor(unit: str) -> int | None:
    """Return how many bytes a unit is, in any case, as libvirt's
    virScaleInteger reads it; None: libvirt takes no such unit.
    """
    text = unit.lower()
    if text in _BYTES:
        return 1
    power = _PREFIXES.find(text[:1]) + 1
    if not text or not power:
        return None
    if text[1:] in ('', 'ib'):
        return int(1024**power)
    return int(1000**power) if text[1:] == 'b' else None
