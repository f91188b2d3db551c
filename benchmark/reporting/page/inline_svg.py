"""A figure's SVG as part of the page: in the page's colors, light and dark, and as wide as the page.

Only the elements and attributes that matplotlib draws with are taken over, so that no text of a record becomes markup.
"""

import re
from xml.etree import ElementTree as ET

from markupsafe import Markup, escape

from benchmark.reporting.figures import style

NAMESPACE = re.compile(r"\{.*\}")
ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "rect", "text", "tspan", "use", "image"}
ATTRIBUTES = {"id", "d", "style", "transform", "x", "y", "width", "height", "clip-path", "href", "viewBox"}
REFERENCE = re.compile(r"url\(#([\w.-]+)\)")
COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")
# color of a figure -> the page's variable; those of no entry, as of heat maps, stay as they are
VARIABLES = {
    "#ffffff": "--surface",
    "#000000": "--ink",
    "#e6e6e6": "--line",
    "#f0f0f0": "--line",
    style.PALE: "--pale",
    style.GRAY: "--muted",
    style.BLUE: "--blue",
    style.VERMILION: "--vermilion",
    style.GREEN: "--green",
    style.PURPLE: "--purple",
    style.ORANGE: "--orange",
    style.SKY: "--sky",
}
VARIABLES = {color.lower(): f"var({variable})" for color, variable in VARIABLES.items()}
SMALLEST, LARGEST = 0.85, 1.6  # of the figure's own width: smaller it cannot be read, larger its letters shout
POINT = 4 / 3  # CSS pixels


def inline_svg(svg: bytes, name: str, description: str) -> Markup:
    """Returns the figure as an `svg` element for HTML; `name` makes its ids differ from those of other figures, and
    `description` is what a screen reader says of it.
    """
    root = ET.fromstring(svg)  # noqa: S314 - our own figure, written a moment ago
    prefix = re.sub(r"\W+", "-", name)
    return Markup("".join(_markup(root, prefix, description)))  # noqa: S704 - every text in it is escaped


def _markup(element: ET.Element, prefix: str, description: str = "") -> list[str]:
    tag = NAMESPACE.sub("", element.tag) if isinstance(element.tag, str) else ""
    if tag not in ELEMENTS:
        return []
    facts = {}
    for name, value in element.items():
        attribute = NAMESPACE.sub("", name)
        if attribute in ATTRIBUTES and (attribute != "href" or value.startswith(("#", "data:image/png;"))):
            facts[attribute] = _value(attribute, value, prefix)
    if tag == "svg":
        width = float(facts.get("viewBox", "0 0 0 0").split()[2]) * POINT
        facts = {"viewBox": facts.get("viewBox", ""), "role": "img", "aria-label": description}
        facts["style"] = f"min-width: {SMALLEST * width:.0f}px; max-width: {LARGEST * width:.0f}px"
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in facts.items())
    text = str(escape(element.text)) if element.text and tag in ("text", "tspan") else ""
    inside = [piece for child in element for piece in _markup(child, prefix)]
    return [f"<{tag}{attributes}>{text}", *inside, f"</{tag}>"]


def _value(attribute: str, value: str, prefix: str) -> str:
    if attribute == "id":
        return f"{prefix}-{value}"
    if attribute == "href":
        return f"#{prefix}-{value[1:]}" if value.startswith("#") else value
    if attribute == "d":
        return " ".join(value.split())
    value = REFERENCE.sub(rf"url(#{prefix}-\1)", value)
    return COLOR.sub(lambda found: VARIABLES.get(found[0].lower(), found[0]), value)
