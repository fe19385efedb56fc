"""Blocks become text and HTML that say the same."""

from html.parser import HTMLParser

import pytest

from spa_kernel.views import Rich, describe, html, render_html, render_text, text
from spa_kernel.views.blocks import (
    Cell,
    Column,
    Fact,
    Facts,
    Fold,
    Line,
    Points,
    Section,
    Table,
    Title,
)

EVIL = '<script>alert("x")</script>&\''

BLOCKS = [
    Title("net", "torch"),
    Facts([Fact("Parameters", Cell("1.00 k", "1,000"), "÷ 2.00"), Fact("FLOPs", Cell("3"))]),
    Table(
        [Column("Group"), Column("Layer", elastic=True), Column("n", right=True), Column("Stays")],
        [
            [Cell("g1"), Cell("conv1", code=True), Cell("8"), Cell("50%", share=0.5)],
            [Cell("g2"), Cell("x" * 90, code=True), Cell("128", items=["a", "b"]), Cell("")],
        ],
        current=1,
    ),
    Section("axis 0", "g1"),
    Line("A sentence.", tone="muted"),
    Points(["one", "two"]),
    Fold("3 more", [Line("inside")]),
]


class Outline(HTMLParser):
    """Checks that tags are closed in order, and gathers the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.text.append(data)


def outline(source):
    parser = Outline()
    parser.feed(source)
    parser.close()
    assert not parser.open
    return parser


def test_text():
    assert text.draw(BLOCKS).splitlines() == [
        "net · torch",
        "",
        "Parameters  1.00 k  (÷ 2.00)",
        "FLOPs       3",
        "",
        f"  Group  {'Layer':<50}    n  Stays",
        f"  ─────  {'─' * 50}  ───  ──────────────",
        f"  g1     {'conv1':<50}    8  █████░░░░░ 50%",
        f"▸ g2     {'x' * 49}…  128",
        "",
        "axis 0 · g1",
        "",
        "A sentence.",
        "",
        "  - one",
        "  - two",
        "",
        "3 more",
        "  inside",
    ]


def test_html_is_well_formed_and_says_the_same():
    found = outline(html.draw(BLOCKS))
    shown = " ".join(found.text)
    for word in ("net", "1.00 k", "÷ 2.00", "conv1", "x" * 90, "50%", "axis 0", "two", "inside"):
        assert word in shown
    assert 'title="1,000"' in html.draw(BLOCKS)
    assert html.draw(BLOCKS).count('aria-current="true"') == 1


@pytest.mark.parametrize(
    "block",
    [
        Title(EVIL, EVIL),
        Section(EVIL, EVIL),
        Facts([Fact(EVIL, Cell(EVIL, EVIL), EVIL)]),
        Table([Column(EVIL, help=EVIL)], [[Cell(EVIL, EVIL, code=True, items=[EVIL])]]),
        Line(EVIL),
        Points([EVIL]),
        Fold(EVIL, [Line(EVIL)]),
    ],
    ids=lambda block: type(block).__name__,
)
def test_text_of_the_user_is_escaped(block):
    drawn = html.draw([block])
    assert "<script" not in drawn
    assert "script" not in outline(drawn).tags
    assert EVIL in "".join(outline(drawn).text)


def test_nothing_is_wider_than_a_terminal():
    long = Table(
        [Column("A", elastic=True), Column("B", wraps=True), Column("C", right=True)],
        [[Cell("a" * 60), Cell("word " * 30), Cell("123")]],
    )
    lines = text.draw([long, Line("word " * 40), Points(["word " * 40])]).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("word") == 110


def test_a_long_fold_is_cut_in_text():
    drawn = text.draw([Fold("12 things", [Points([str(i) for i in range(12)])], head=4)])
    assert drawn.splitlines()[-2:] == ["    - 3", "  … 8 lines more"]


def test_a_bar_stays_within_its_frame():
    assert "width:100.0%" in html.draw([Table([Column("")], [[Cell("", share=1.7)]])])


def test_many_rows_scroll():
    rows = [[Cell(str(i))] for i in range(100)]
    assert "spa-scroll" in html.draw([Table([Column("n")], rows)]).split("</style>")[1]
    assert "spa-scroll" not in html.draw([Table([Column("n")], rows[:5])]).split("</style>")[1]


def test_a_result_is_taught_in_one_place():
    class Result(Rich):
        pass

    with pytest.raises(TypeError, match="there is no view for Result"):
        render_text(Result())

    @describe.register
    def _(result: Result):
        return [Line("hello")]

    assert str(Result()) == render_text(Result()) == "hello"
    assert Result()._repr_mimebundle_() == {
        "text/html": render_html(Result()),
        "text/plain": "hello",
    }
