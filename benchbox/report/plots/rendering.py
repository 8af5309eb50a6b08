"""How does a picture become SVG that needs nothing else?"""

from __future__ import annotations

import itertools
import re
from html import escape

from benchbox.errors import EnvironmentLackError
from benchbox.report.plots.base import Picture

_VEGA_LITE = "5.21"


def require_renderer() -> None:
    """Raises EnvironmentLackError where the packages that the page needs are missing."""
    missing = []
    for module, package in (("vl_convert", "vl-convert-python"), ("jinja2", "jinja2")):
        try:
            __import__(module)
        except ImportError:
            missing.append(package)
    if missing:
        raise EnvironmentLackError(
            "the HTML page cannot be written",
            values=f"missing: {', '.join(missing)}",
            remedy="pip install 'benchbox[report]'; --format table, md, csv and json need nothing",
        )


def svg_from_picture(picture: Picture, *, identity: str) -> str:
    """The picture as SVG with a title and a description, without what only repeats itself.

    Args:
        picture: to be drawn.
        identity: of the SVG's title and description in the page.
    """
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(picture.specification, vl_version=_VEGA_LITE)
    # Most attributes of a mark double the size and say nothing that its label does not.
    text = re.sub(r' (?:aria-roledescription|pointer-events|role|class|opacity)="(?:[^"]*)"', _kept, text)
    text = re.sub(r'<path aria-hidden="true" d="[^"]*"(?: display="none")?/>', "", text)
    text = _smaller(_own_clips(text, identity))
    for attribute in _FONT:
        text = text.replace(attribute, "")
    head = (
        f'<svg role="img" aria-labelledby="{identity}-t {identity}-d"><title id="{identity}-t">{escape(picture.title)}'
        f'</title><desc id="{identity}-d">{escape(picture.reading)}</desc>'
    )
    return re.sub(
        r"<svg ([^>]*)>",
        lambda found: head.replace("<svg", f"<svg{''.join(_FONT)} {_bare(found[1])}", 1),
        text,
        count=1,
    )


def _own_clips(text: str, identity: str) -> str:
    """Names of clipping paths that are the picture's own: the renderer counts them over all that it ever drew."""
    names: dict[str, str] = {}
    return re.sub(r'(id="|url\(#)(clip\d+)', lambda f: f[1] + names.setdefault(f[2], f"{identity}-c{len(names)}"), text)


_FONT = (' font-family="system-ui, sans-serif"', ' font-size="12px"')  # of words, unless they say otherwise
_PLACES = re.compile(r' (?:transform|d|x2|y2)="[^"]*"')
_FRACTION = re.compile(r"-?\d+\.\d{2,}")
_CIRCLE = re.compile(r'<path ([^>]*?) d="M([\d.]+),0A\2,\2,0,1,1,-\2,0A\2,\2,0,1,1,\2,0"([^>]*)>')
_MARK = re.compile(r"<(?:path|circle|line) [^>]*>")
_LINE = re.compile(
    r'<line((?: [a-z0-9-]+="[^"]*")*?) transform="translate\(([-\d.]+),([-\d.]+)\)"((?: [a-z0-9-]+="[^"]*")*)/>'
)
_PLACED = re.compile(r'<circle((?: [a-z0-9-]+="[^"]*")*?) transform="translate\(([-\d.]+),([-\d.]+)\)"([^>]*)>')
_FILL = re.compile(r' (?:fill|stroke)="[^"]*"')
_END = re.compile(r' ([xy])2="([^"]*)"')
_ALIKE = re.compile(r"<g([^>]*)>((?:<(?:path|circle|line) [^>]*/>)+)</g>")


def _smaller(text: str) -> str:
    """The same picture in fewer bytes: tenths of a pixel, circles as such, and what all marks share said once."""
    text = _PLACES.sub(lambda found: _FRACTION.sub(_tenths, found[0]), text)
    text = _CIRCLE.sub(r'<circle \1 r="\2"\3>', text)
    text = _MARK.sub(_without_defaults, text)
    text = _LINE.sub(_as_path, text)
    text = _PLACED.sub(r'<circle\1 cx="\2" cy="\3"\4>', text)
    return _ALIKE.sub(_said_once, text)


def _tenths(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")


def _without_defaults(found: re.Match[str]) -> str:
    mark = re.sub(r' [xy]2="-?0"', "", found[0])
    return mark if " stroke=" in mark else re.sub(r' stroke-width="[^"]*"', "", mark)


def _as_path(found: re.Match[str]) -> str:
    """A line as a path, which is half as long."""
    before, x, y, after = found.groups()
    ends = dict(_END.findall(before + after))
    across, up = ends.get("x", ""), ends.get("y", "")
    step = f"l{across},{up}" if across and up else f"h{across}" if across else f"v{up or 0}"
    return f'<path{_END.sub("", before + after)} d="M{x},{y}{step}"/>'


def _said_once(found: re.Match[str]) -> str:
    group, marks = found[1], found[2]
    for name in ("fill", "stroke", "stroke-width"):
        values = re.findall(rf' {name}="([^"]*)"', marks)
        if len(values) == len(_MARK.findall(marks)) > 1 and len(set(values)) == 1 and f" {name}=" not in group:
            marks = re.sub(rf' {name}="[^"]*"', "", marks)
            group += f' {name}="{values[0]}"'
    return f"<g{group}>{_in_runs(marks)}</g>"


def _in_runs(marks: str) -> str:
    """Neighbours of one colour in a group that says it once."""
    parts = []
    for colour, run in itertools.groupby(_MARK.findall(marks), key=lambda mark: (_FILL.search(mark) or [""])[0]):
        alike = [*run]
        if colour and len(alike) > 1:
            parts.append(f"<g{colour}>{''.join(mark.replace(colour, '', 1) for mark in alike)}</g>")
        else:
            parts += alike
    return "".join(parts)


def _kept(found: re.Match[str]) -> str:
    """Attributes that say something: an opacity below 1. The script of the page makes images of marks with labels."""
    return found[0] if found[0].startswith(" opacity") and found[0] != ' opacity="1"' else ""


def _bare(attributes: str) -> str:
    return re.sub(r'xmlns(?::xlink)?="[^"]*" |version="[^"]*" |class="[^"]*" ', "", f"{attributes} ").strip()
