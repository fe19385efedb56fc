"""A prediction is what the line would do, and changes nothing."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spa_kernel as spa

targets = st.one_of(
    st.builds(lambda v: {"kind": "ratio", "value": v}, st.floats(0.05, 0.85)),
    st.builds(
        lambda kind, v: {"kind": kind, "value": v},
        st.sampled_from(["flops", "params", "memory"]),
        st.floats(1.01, 3),
    ),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "criterion": st.sampled_from(["l1", "l2", "random", "bn_scale", "lamp"]),
        "scope": st.sampled_from(["global", "local", "isomorphic"]),
        "exclude": st.just(["conv1"]),
        "groups": st.just(["g1"]),
        "round_to": st.sampled_from([2, 4]),
        "max_ratio": st.floats(0.3, 0.9),
        "min_width": st.integers(1, 3),
    },
)


def state(model):
    """All that a look must leave alone: tensors, and what is not told by comparing them."""
    tensors = model.state_dict(keep_vars=True)
    marks = {name: (id(t), t._version, t.requires_grad) for name, t in tensors.items()}
    modes = [module.training for module in model.modules()]
    return (
        {name: t.detach().clone() for name, t in tensors.items()},
        torch.get_rng_state(),
        marks,
        modes,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(target=targets, more=options)
def test_a_prediction_comes_true(notebook, page, target, more):
    tensors, random, *rest = state(notebook.ns["net"])
    found = page.ask(type="predict", model="net", target=target, options=more)
    after = state(notebook.ns["net"])
    torch.testing.assert_close(after[:2], (tensors, random), rtol=0, atol=0)
    assert list(after[2:]) == rest
    if found["type"] == "error":
        assert found["code"] == "infeasible"
        wishes = {target["kind"]: target["value"], **more}
        with pytest.raises(spa.InfeasibleTarget) as caught:
            notebook("%spa_analyze net x").plan(**wishes)
        assert str(caught.value) == found["reason"]
        return
    notebook(found["line"] + ";")
    pruned = page.model()
    assert [pruned["flops"][1], pruned["params"][1]] == [found["flops"][1], found["params"][1]]
    assert found["rf"] == pytest.approx(found["flops"][0] / found["flops"][1])
    cut = found["widths"]
    assert len(cut["id"]) == len(cut["before"]) == len(cut["after"])
    assert all(a < b for a, b in zip(cut["after"], cut["before"], strict=True))
    notebook("%spa_undo net;")
    sizes = dict(zip(page.model()["groups"]["id"], page.model()["groups"]["size"], strict=True))
    assert [sizes[group] for group in cut["id"]] == cut["before"]


def test_defaults_are_those_of_the_commands(notebook, page):
    notebook("%config SPAMagics.default_criterion = 'l2'")
    found = page.ask(type="predict", model="net", target={"kind": "flops", "value": 2})
    assert found["line"] == "%spa_prune net --criterion l2 --flops 2 --scope global"


@pytest.mark.parametrize("criterion", ["taylor", "synflow", "obspa", "activation"])
def test_what_needs_a_forward_is_left_to_the_line(page, criterion):
    options = {"criterion": criterion, "data": "loader", "loss": "f", "steps": 3}
    found = page.ask(
        type="predict", model="net", target={"kind": "flops", "value": 2}, options=options
    )
    assert found["code"] == "data" and criterion in found["reason"]
    assert found["line"] == (
        f"%spa_prune net --criterion {criterion} --flops 2 --scope global "
        "--data loader --loss f --steps 3"
    )
    assert page.ask(type="snapshot", criterion=criterion)["code"] == "data"


def test_expressions_are_written_and_never_worked_out(notebook, page):
    options = {"data": "ran.append(1)", "optimizer": "ran.append(2)"}
    notebook.ns["ran"] = []
    found = page.ask(
        type="predict", model="net", target={"kind": "flops", "value": 1.5}, options=options
    )
    assert found["line"].endswith("--data ran.append(1) --optimizer ran.append(2)")
    assert notebook.ns["ran"] == []


def test_a_criterion_of_the_notebook_can_be_seen_live(notebook, page):
    notebook("%%spa_criterion cubed\nabs(w) ** 3")
    assert "cubed" in page.news()[-1]["criteria"]["name"]
    shown = page.ask(type="snapshot", criterion="cubed")
    assert shown["models"][0]["groups"]["criterion"] == "cubed"
    target = {"kind": "flops", "value": 1.5}
    found = page.ask(type="predict", model="net", target=target, options={"criterion": "cubed"})
    assert "--criterion cubed" in found["line"]


def test_what_fails_is_said(notebook, page):
    target = {"kind": "flops", "value": 1.5}
    ask = {"type": "predict", "model": "net", "target": target}
    assert "did you mean" in page.ask(**ask, options={"criterion": "l11"})["reason"]
    assert page.ask(**{**ask, "target": {"kind": "flops", "value": 9999}})["code"] == "infeasible"
    notebook.ns["net"].fc = torch.nn.Linear(8, 4)
    assert "changed from outside" in page.ask(**ask)["reason"]
    assert page.ask(type="explain", model="net", layer="conv9")["code"] == "unknown"
    assert page.ask(type="explain", model="net", layer="conv1")["parts"][0]["group"]
