"""Colours of guests: as different as they can be, and legible."""

import colorsys

#: The golden angle, as a share of a turn: no two hues come close early.
_TURN = 0.381966
#: Lightness and saturation alternate, so that neighbours in hue differ.
_SHADES = ((0.42, 0.62), (0.70, 0.66), (0.54, 0.74), (0.34, 0.50))


def of(number: int) -> tuple[str, str]:
    """Return the fill of a guest and the colour of text on it."""
    lightness, saturation = _SHADES[number % len(_SHADES)]
    rgb = colorsys.hls_to_rgb(
        (0.58 + number * _TURN) % 1, lightness, saturation
    )
    fill = ''.join(f'{round(255 * part):02x}' for part in rgb)
    return f'#{fill}', '#000' if luminance(rgb) > 0.18 else '#fff'


def luminance(rgb: tuple[float, float, float]) -> float:
    """Return the relative luminance as WCAG 2.1 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
