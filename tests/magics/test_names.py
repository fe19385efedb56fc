"""Which model a name means, and how long its session lives."""

import gc
import weakref
from types import SimpleNamespace

import spa_kernel as spa


def magics(shell):
    return shell.ip.magics_manager.registry["SPAMagics"]


def test_dotted_names_and_aliases_mean_the_same_session(shell):
    shell.ns["trainer"] = SimpleNamespace(net=shell.ns["net"])
    session = shell("%spa_analyze trainer.net x")
    shell.ns["alias"] = shell.ns["net"]
    assert magics(shell).names.session("net") is session
    assert magics(shell).names.session("alias") is session
    assert magics(shell).names.models() == ["net", "alias"]
    assert magics(shell).names.session("trainer.net") is session
    assert magics(shell).names.models() == ["net", "alias", "trainer.net"]


def test_a_variable_may_hold_the_session(shell):
    shell.ns["work"] = spa.analyze(shell.ns["net"], shell.ns["x"])
    assert shell("%spa_prune work --flops 1.5").rf >= 1.5
    assert shell("%spa_undo work").position == 0


def test_a_new_analysis_replaces_the_session(analysed, capsys):
    first = magics(analysed).names.session("net")
    second = analysed("%spa_analyze net x")
    assert magics(analysed).names.session("net") is second is not first
    assert "analysed anew" not in capsys.readouterr().out
    analysed("%spa_prune net --flops 1.5;")
    analysed("%spa_analyze net x;")
    assert "earlier prunes cannot be undone" in capsys.readouterr().out


def test_the_name_alone_decides_nothing(analysed):
    analysed("net = nn.Linear(3, 3)")
    assert magics(analysed).names.session("net") is None
    assert "no history" in analysed.refuses("%spa_undo net")


def test_a_model_that_was_replaced_is_freed(analysed):
    model = weakref.ref(analysed.ns["net"])
    session = weakref.ref(magics(analysed).names.session("net"))
    analysed("%spa_prune net --flops 1.5;")
    gc.collect()
    assert session() is not None
    analysed("net = None")
    gc.collect()
    assert session() is None
    assert model() is None


def test_a_model_in_a_list_keeps_its_history(analysed):
    analysed("%spa_prune net --flops 1.5;")
    analysed("models = [net]; del net")
    gc.collect()
    analysed("net = models[0]")
    assert analysed("%spa_undo net").position == 0


def test_functions_and_classes_are_no_models(shell):
    shell("class Other(nn.Module): pass\ndef f(): pass")
    assert magics(shell).names.models() == ["net"]


def test_a_session_made_without_a_command_is_found_by_its_model(shell):
    shell.ns["mine"] = spa.analyze(shell.ns["net"], shell.ns["x"])
    assert magics(shell).names.session("net") is shell.ns["mine"]
    assert shell("%spa_prune net --flops 1.5").rf >= 1.5
    assert len(shell.ns["mine"].history) == 2


def test_of_two_sessions_made_without_a_command_none_is_meant(shell):
    for name in ("one", "other"):
        shell.ns[name] = spa.analyze(shell.ns["net"], shell.ns["x"])
    assert magics(shell).names.session("net") is None
