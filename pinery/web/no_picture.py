"""The answer in the place of a picture that there is none of."""

import textwrap
from html import escape

from starlette.responses import Response

NOT_KEPT = "private, no-store"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256" viewBox="0 0 256 256" role="img">'
    '<rect width="256" height="256" fill="#8884"/>'
    '<text y="{top}" font-family="sans-serif" font-size="16" text-anchor="middle" fill="#777">{lines}</text></svg>'
)
COLUMNS, LINES, LINE_HEIGHT = 26, 6, 20


def no_picture(reason: str) -> Response:
    """Return a 404 that is a picture all the same: an SVG with the reason, for people who look at tiles."""
    words = "".join(one if one.isprintable() else " " for one in reason)
    lines = textwrap.wrap(words, COLUMNS, max_lines=LINES, placeholder=" …")
    spans = [f'<tspan x="128" dy="{LINE_HEIGHT if n else 0}">{escape(one)}</tspan>' for n, one in enumerate(lines)]
    svg = SVG.format(top=134 - LINE_HEIGHT // 2 * (len(lines) - 1), lines="".join(spans))
    return Response(svg, 404, {"cache-control": NOT_KEPT}, "image/svg+xml")
