"""HTML, made of elements."""

from collections.abc import Iterable, Sequence

from lxml import etree

from imageserv.core.dali.documents import Element, clean

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.2; }
a { color: #0b57a4; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
pre { background: #f4f4f4; padding: 0.8rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem; border-bottom: 1px solid #ccc; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616; }
  a { color: #8ab4f8; }
  pre { background: #262626; }
  th, td { border-color: #444; }
}
"""


def page(title: str, *content: Element) -> str:
    """Write a page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", _STYLE),
    )
    root = tag("html", head, tag("body", tag("h1", title), *content), lang="en")
    return etree.tostring(root, method="html", encoding="unicode", doctype="<!DOCTYPE html>")


def tag(name: str, /, *content: str | Element, **attributes: str) -> Element:
    """Make an element of text and elements, in order."""
    element = etree.Element(name, {key: clean(value) for key, value in attributes.items()})
    for part in content:
        if not isinstance(part, str):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + clean(part)
        else:
            element.text = (element.text or "") + clean(part)
    return element


def link(url: str, text: str) -> Element:
    """Make a link."""
    return tag("a", text, href=url)


def code(text: str) -> Element:
    """Make a block of code, to be copied."""
    return tag("pre", tag("code", text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Element:
    """Make a table of texts."""
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", name) for name in head))),
        tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows)),
    )
