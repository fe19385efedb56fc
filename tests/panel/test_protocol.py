"""Whatever a page sends is answered, by a message of the protocol."""

import json
import math

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from panel_page import Page

from spa_kernel import __version__
from spa_kernel.panel.answers import ANSWERS
from spa_kernel.panel.protocol import SCHEMA, VERSION, Refusal, check, validators

TARGET = {"kind": "flops", "value": 2}
SOUND = [
    {"type": "hello", "id": 1, "version": VERSION},
    {"type": "snapshot", "id": 2},
    {"type": "snapshot", "id": 2, "criterion": "l2"},
    {"type": "predict", "id": 3, "model": "net", "target": TARGET},
    {"type": "predict", "id": 3, "model": "net", "target": TARGET,
     "options": {"criterion": "l2", "scope": "local", "exclude": ["fc"], "round_to": 4}},
    {"type": "candidates", "id": 4},
    {"type": "explain", "id": 5, "model": "net", "layer": "conv1"},
]  # fmt: skip

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["net", "x", "__class__", "net\n", "l1", "taylor", "flops", "ratio", "conv1"])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def spoilt(draw):
    """A sound message in which something is replaced, added or left out."""
    message = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    for _ in range(draw(st.integers(1, 3))):
        place = message
        while True:
            key = draw(st.sampled_from([*place, "new"]))
            if not isinstance(place.get(key), dict) or draw(st.booleans()):
                break
            place = place[key]
        if draw(st.booleans()) or key == "new":
            place[key] = draw(anything)
        else:
            del place[key]
        if not message:
            break
    return message


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert validators("Question").keys() == ANSWERS.keys()
    assert SCHEMA["$defs"]["Model"]["title"] == "Model"
    for name, definition in SCHEMA["$defs"].items():
        # TypeScript names its types by the titles
        assert definition["title"] == name


@pytest.mark.parametrize("message", SOUND, ids=lambda message: message["type"])
def test_sound_messages_are_taken(message):
    assert check(message) is message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(message=anything | spoilt())
def test_anything_gets_one_answer(page, message):
    before = len(page.messages)
    page.send(message)
    reply, *further = page.messages[before:]
    # a greeting is followed by a snapshot, and a snapshot may be news to all panels
    assert {m["type"] for m in further} <= {"snapshot"}
    try:
        check(message)
    except Refusal as refusal:
        assert reply["type"] == "error"
        assert reply["code"] == refusal.code in ("invalid", "version")
        assert len(reply["reason"]) < 600
    else:
        assert reply.get("code") != "invalid"
        assert reply.get("code") != "failed", reply


@pytest.mark.parametrize(
    ("kind", "value"),
    [("flops", 1), ("flops", math.nan), ("flops", math.inf), ("flops", -2), ("flops", 1e9),
     ("ratio", 0), ("ratio", 1), ("ratio", True), ("latency", 2), ("flops", "2"),
     ("flops", 10**400)],
)  # fmt: skip
def test_numbers_have_bounds(kind, value):
    with pytest.raises(Refusal, match="breaks the rule"):
        check({**SOUND[3], "target": {"kind": kind, "value": value}})


@pytest.mark.parametrize(
    "options",
    [{"data": "x\n!ls"}, {"data": "x\n"}, {"exclude": ["a,b"]}, {"exclude": ["a b"]},
     {"round_to": 8.0}, {"round_to": 0}, {"max_ratio": 1}, {"agg": "sum"},
     {"criterion": "l1 --no-verify"}, {"data": "x" * 301}, {"exclude": []}],
)  # fmt: skip
def test_options_have_bounds(options):
    with pytest.raises(Refusal, match="options"):
        check({**SOUND[3], "options": options})


@pytest.mark.parametrize("name", ["net\n", "a b", "a.", ".a", "1a", "net;", "f(x)", "n" * 201, ""])
def test_names_are_names(name):
    with pytest.raises(Refusal, match="model breaks"):
        check({**SOUND[6], "model": name})


def test_a_name_is_looked_up_and_nothing_else(page, notebook):
    for name in ("x", "nothing", "net.conv1", "net.__class__"):
        assert page.ask(type="explain", model=name, layer="conv1")["code"] == "unknown"


def test_a_newer_page_is_told_to_upgrade_the_kernel(notebook):
    page = Page({"type": "hello", "id": 7, "version": VERSION + 1, "more": {"than": "we know"}})
    (reply,) = page.messages
    assert (reply["id"], reply["code"], reply["version"]) == (7, "version", VERSION)
    assert f"version {VERSION + 1}" in reply["reason"]
    assert f"The older one is the spa_kernel in this kernel ({__version__})" in reply["reason"]
    assert "pip install --upgrade spa_kernel" in reply["reason"]
    assert "say hello first" in page.ask(type="snapshot")["reason"]


def test_an_older_page_is_told_to_upgrade_jupyterlab(notebook, monkeypatch):
    monkeypatch.setattr("spa_kernel.panel.protocol.VERSION", VERSION + 1)
    (reply,) = Page().messages
    assert reply["code"] == "version"
    assert "The older one is the panel" in reply["reason"]
    assert "environment that JupyterLab runs in" in reply["reason"]


def test_only_a_page_that_speaks_our_version_hears_the_news(notebook):
    page = Page({"type": "hello", "id": 1, "version": VERSION + 1})
    notebook("%spa_analyze net x;")
    assert len(page.messages) == 1
    page.send({"type": "hello", "id": 2, "version": VERSION})
    assert page.model()["kind"] == "Net"
