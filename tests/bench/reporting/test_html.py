from html.parser import HTMLParser
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.reporting.html import render_page
from bench.reporting.model import Metric, Report, Series
from bench.reporting.svg import HEIGHT, WIDTH, render_series


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_holds_everything_itself_and_escapes():
    curve = Series("CPU", "seconds", "%", ((0.0, 1.0), (1.0, 3.0)))
    metric = Metric("<script>x</script>", 2.0, "ms")
    page = render_page(
        [Report("fanout", "a&b", "now", "machine", {"url": "<u>"}, (metric,), (curve,), ("bad",))]
    )
    collector = Collector()
    collector.feed(page)
    assert collector.tags.count("svg") == 1
    assert "script" not in collector.tags and "u" not in collector.tags
    assert collector.addresses == []
    assert "Invalid: bad" in page and "a&amp;b" in page


points = st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20)


@given(points)
def test_every_point_lies_inside_the_picture(values):
    svg = ElementTree.fromstring(render_series(Series("n", "x", "y", tuple(values))))
    line = svg.find("polyline")
    drawn = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert len(drawn) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
