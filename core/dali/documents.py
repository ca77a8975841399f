"""What every XML document of ours shares."""

import re

from lxml import etree

Element = etree._Element  # pyright: ignore[reportPrivateUsage]  # lxml gives the type of its elements no other name

# What XML 1.0 section 2.2 leaves out: control characters, surrogates, and two that are no characters.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Return the text with each character that XML 1.0 cannot hold replaced by U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text)


def serialise(root: Element) -> bytes:
    """Write a document in UTF-8, with the XML declaration by which clients recognise it."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
