"""The page that the command line's figures are drawn on."""

from collections.abc import Iterable

STYLE = "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.end{text-anchor:end}"


def svg_page(panels: Iterable[str], *, width: int, height: int) -> str:
    """Panels of SVG on white, in pixels; text of class `title` is bold, of `end` ends at its x."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(panels)}</svg>\n"
    )
