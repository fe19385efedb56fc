"""Every mistake that a person makes gets one clear message, and changes nothing."""

import pytest
import torch


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%spa_analyze", "the following arguments are required: MODEL. See %spa_analyze --help."),
        ("%spa_analyze nett x", "there is no model named 'nett'. Did you mean 'net'?"),
        ("%spa_analyze x", "'x' is not a model but of type Tensor. Models in this notebook: net."),
        ("%spa_analyze net.foo x", "there is no model named 'net.foo'."),
        ("%spa_analyze net[0] x", "'net[0]' is not the name of a variable."),
        ("%spa_analyze net y", "INPUT: cannot work out 'y' (NameError: name 'y' is not defined)"),
        ("%spa_analyze net x --shape 1,3", "give either an example INPUT or --shape, not both"),
        ("%spa_analyze net --shape 1,a", "'1,a' is not a shape; write it without spaces"),
        ("%spa_analyze net --shape 1, 3", 'quotes: "f(a, b)". See %spa_analyze --help.'),
        ("%spa_analyze net 'x", "a quotation mark is not closed"),
        ("%spa_prune net --flops 2", "%spa_analyze net --shape 1,3,224,224"),
        ("%spa_undo net", "net has no history: it has not been analysed or pruned yet"),
        ("%spa_history net", "net has no history"),
        ("%spa_load nowhere.spa net", "there is no file nowhere.spa"),
        ("%spa_analyze net --shape $size", "$size was not replaced by a value"),
        ("%spa_analyze net --shape {size}", "{size} was not replaced by a value"),
    ],
)
def test_before_the_analysis(shell, line, message):
    assert message in shell.refuses(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%spa_prune net", "say how much is to go: --flops 2 (twice as cheap)"),
        ("%spa_prune net --flops 0.5", "'0.5' is not above 1; 2 means half of what it was"),
        ("%spa_prune net --flops two", "'two' is not a number"),
        ("%spa_prune net --ratio 2", "'2' is not between 0 and 1; 0.3 removes 30 %"),
        ("%spa_prune net --flops 2 --round-to 0", "'0' is not a whole number from 1 on"),
        ("%spa_prune net --flops 2 --scope all", "invalid choice: 'all'"),
        ("%spa_prune net --flops 2 --criterion l3", "l3"),
        ("%spa_prune net --flops 2 --groups g99", "g99"),
        ("%spa_prune net --flops 100000", "flops"),
        ("%spa_prune net --flops 2 --steps 0", "'0' is not a whole number from 1 on"),
        ("%spa_prune net --flops 2 --steps 2 --dry-run", "leave one of the two out"),
        ("%spa_prune net --ratio g1=", "write it without spaces: g3=0.3,g7=0.5"),
        ("%spa_prune net --ratio g1=2", "'2' is not between 0 and 1"),
        ("%spa_prune net --ratio g1=0.5,g99=0.5", "g99"),
        ("%spa_prune net --flops 2 --agg average", "invalid choice: 'average'"),
        ("%spa_prune net --flops 2 --criterion taylor", "needs"),
        ("%spa_prune net --flops 2 --bogus", "unrecognized arguments: --bogus"),
        ("%spa_prune net --flops 2 --loss nope", "--loss: cannot work out 'nope'"),
        ("%spa_prune net --flops 2 --optimizer 1/0", "ZeroDivisionError: division by zero"),
        ("%spa_explain net conv9", "conv9"),
        ("%spa_undo net", "undo"),
        ("%spa_redo net", "redo"),
        ("%spa_undo net -1", "%spa_undo"),
        ("%spa_show net grups", "invalid choice: 'grups'"),
        ("%spa_export net missing/net.onnx", "lies in a folder that does not exist"),
    ],
)
def test_after_the_analysis(analysed, line, message):
    before = {name: tensor.clone() for name, tensor in analysed.ns["net"].state_dict().items()}
    assert message in analysed.refuses(line)
    after = analysed.ns["net"].state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_no_model_at_all(shell):
    del shell.ns["net"]
    assert "There is no model in this notebook yet" in shell.refuses("%spa_prune net --flops 2")


def test_a_session_is_not_analysed_again(analysed):
    analysed("work = %spa_analyze net x")
    assert "analysed already" in analysed.refuses("%spa_analyze work x")


def test_a_bug_keeps_its_traceback(analysed, monkeypatch):
    monkeypatch.setattr(type(analysed("%spa_analyze net x")), "explain", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analysed("%spa_explain net conv1")


def test_one_line_is_printed(shell, capsys):
    shell.ip.run_cell("%spa_undo net")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).strip() == (
        "UsageError: net has no history: it has not been analysed or pruned yet"
    )


def test_what_another_session_did_is_not_shown_as_never_done(shell):
    shell("%spa_analyze net x")
    shell("import spa_kernel as spa; other = spa.analyze(net, x); other.prune(ratio=0.3)")
    for side in ("", "cost", "groups", "importance"):
        assert "Analyse the model again" in shell.refuses(f"%spa_show net {side}")
