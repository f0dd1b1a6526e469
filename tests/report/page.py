"""A page of HTML as a parser sees it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from nsagent.report.html_parts import SCRIPT, STYLE

VOID = ("meta", "input")


@dataclass
class Element:
    """One element: its text is that between its tags, those of other elements inside included."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page:
    """All elements of a page, in the order of their start tags, and what was never closed."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> list[Element]:
        return [each for each in self.elements if each.tag == tag]

    def rows(self) -> list[list[str]]:
        """The texts of the cells of each row of the table's body."""
        rows: list[list[str]] = []
        for each in self.elements:
            if each.tag == "tr":
                rows.append([])
            elif each.tag == "td":
                rows[-1].append(each.text)
        return [row for row in rows if row]

    def texts(self) -> list[str]:
        """What stands in script and style."""
        return [each.text for each in self.elements if each.tag in ("script", "style")]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        element = Element(tag, dict(attrs))
        self.page.elements.append(element)
        if tag not in VOID:
            self.page.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.page.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.page.open:
            element.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parse_page(text: str) -> Page:
    """The page, each element of which must be closed where it belongs, with its own script and style and no others."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.page.open == []
    assert parser.page.texts() == [STYLE, SCRIPT]
    return parser.page
