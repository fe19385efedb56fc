"""What a forward in evaluation mode does not show: other modes, other owners of a tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa


class Auxiliary(nn.Module):
    """A second head that is only there in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 16, 3, 2), nn.Conv2d(16, 16, 3, 2)
        self.norm, self.second = nn.BatchNorm1d(16), nn.Linear(16, 5)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        main = self.head(F.relu(self.body(x)).mean((2, 3)))
        if self.training:
            return main + self.second(self.norm(x.mean((2, 3))))
        return main


def test_parts_of_training_mode_follow() -> None:
    torch.manual_seed(0)
    model = ordinary(Auxiliary()).eval()
    session = spa.analyze(model, (1, 3, 16, 16))
    report = session.prune(ratio=0.5, scope="local")
    assert not session.notes
    assert list(report.plan.kept["second.weight"]) == [1]
    model.train()
    assert model(torch.randn(4, 3, 16, 16)).shape == (4, 5)
    model.eval()
    session.undo()
    outcome = judge(model, torch.randn(1, 3, 16, 16), ratio=0.5, scope="local")
    assert outcome.error < 1e-9


class Unused(Auxiliary):
    """A second head that is called from elsewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.body(F.relu(self.stem(x)))).mean((2, 3)))


def test_unused_parts_are_named() -> None:
    session = spa.analyze(Unused(), (1, 3, 16, 16))
    assert "norm.weight" in session.notes[0]
    unused = [f for f in session.frozen if not f.group]
    assert {f.name for f in unused} == {"norm.weight", "norm.bias", "second.weight", "second.bias"}
    assert sum(f.params for f in unused) == 117
    assert "does not use it" in str(session.explain("second"))


def test_two_parameters_on_one_memory_stay() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[4].weight.data = model[2].weight.data
    session = spa.analyze(model, (2, 4))
    assert any("memory of another parameter" in f.reason for f in session.frozen)
    with pytest.raises(spa.InfeasibleTarget):
        session.prune(ratio=0.5, scope="local", groups=["0", "2"])


class Tables(nn.Module):
    """Tensors that are plain attributes: no parameters, no buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.scale = torch.randn(1, 6, 16), torch.rand(16)
        self.embed, self.mix, self.head = nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x) + self.positions[:, : x.shape[1]]
        return self.head(F.relu(self.mix(x)) * self.scale)


def test_plain_tensors_are_cut_and_put_back() -> None:
    torch.manual_seed(0)
    model = ordinary(Tables())
    before, kept = [t.clone() for t in (model.positions, model.scale)], []
    outcome = judge(
        model,
        torch.randn(2, 6, 4),
        ratio=0.5,
        scope="local",
        also=lambda *_: kept.extend([model.positions.shape, model.scale.shape]),
    )
    assert outcome.error < 1e-9
    assert outcome.lost > 0.5
    assert kept == [(1, 6, 8), (8,)]
    after = model.positions, model.scale
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class Interleaved(nn.Module):
    """Gate and value in turn, as in some mixtures of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.out = nn.Linear(6, 32), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.both(x)
        return self.out(both[..., ::2] * both[..., 1::2].sigmoid())


class Sorted(Interleaved):
    """The even ones before the odd ones: any pair may go, no single index."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.both(x)
        return self.out(torch.cat([both[..., ::2], both[..., 1::2]], -1).relu())


@pytest.mark.parametrize("kind", [Interleaved, Sorted])
def test_every_second_index(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = ordinary(kind())
    outcome = judge(model, torch.randn(2, 6), ratio=0.5, scope="local", verify=False)
    assert outcome.error < 1e-9
    assert outcome.lost > 0.4


class Lengths(nn.Module):
    """Heads divided by their own length, with nothing added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 8
        self.query, self.out = nn.Linear(6, 32), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.query(x).view(x.shape[0], self.heads, self.width)
        return self.out((y / y.norm(dim=-1, keepdim=True)).flatten(1))


def test_zero_lengths_do_not_hide_errors() -> None:
    torch.manual_seed(0)
    report = spa.analyze(ordinary(Lengths()), (3, 6)).prune(ratio=0.5, scope="local")
    assert report.verification.error is not None and report.verification.error < 1e-9


class Experts(nn.Module):
    """Each token goes to one expert; ``closed``: the last one is never chosen."""

    def __init__(self, closed: bool) -> None:
        super().__init__()
        self.embed, self.router = nn.Linear(6, 16), nn.Linear(16, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 16)) for _ in range(4)
        )
        self.after, self.head = nn.Linear(16, 16), nn.Linear(16, 5)
        self.closed = closed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        scores = self.router(x)
        if self.closed:
            scores = scores[:, :-1]
        chosen, out = scores.argmax(-1), torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            places = torch.where(chosen == i)[0]
            if len(places):
                out[places] = expert(x[places])
        return self.head(F.relu(self.after(x + out)))


def test_experts_that_the_example_does_not_choose() -> None:
    torch.manual_seed(0)
    model = ordinary(Experts(closed=False))
    model.router.bias.data.zero_()
    outcome = judge(model, torch.randn(2, 6), ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.5


def test_an_expert_that_is_never_chosen_holds_what_it_may_take() -> None:
    torch.manual_seed(0)
    model = ordinary(Experts(closed=True))
    session = spa.analyze(model, torch.randn(8, 6))
    report = session.prune(ratio=0.5, scope="local")
    assert "embed.weight" not in report.plan.kept
    assert any("experts.3" in f.reason and f.name == "embed" for f in session.frozen)
    assert model.experts[3](torch.randn(2, 16)).shape == (2, 16)
    assert report.plan.kept["after.weight"].keys() == {0}


class Masking(Auxiliary):
    """Masks that are drawn at random in training mode, by numpy."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        if self.training:
            places = torch.from_numpy(np.random.permutation(x.shape[2])[:3])
            x[:, :, places] = 0.0
            return self.second(self.norm(x.mean((2, 3))))
        return self.head(F.relu(self.body(x)).mean((2, 3)))


def test_what_is_drawn_at_random_is_drawn_again() -> None:
    torch.manual_seed(0)
    state = str(np.random.get_state(legacy=False))
    outcome = judge(ordinary(Masking()).eval(), torch.randn(1, 3, 16, 16), ratio=0.5, scope="local")
    assert outcome.error < 1e-9 and outcome.lost > 0.4
    assert str(np.random.get_state(legacy=False)) == state


class Empty(nn.Module):
    """Finds nothing: what comes after works on empty tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.score, self.points = nn.Linear(6, 16), nn.Linear(16, 1), nn.Linear(16, 7)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = F.relu(self.maps(x))
        score = self.score(maps).squeeze(-1)
        found = self.points(maps[score > score.max()])
        rows = [torch.cat([p, p]) for p in found.unbind(0)]
        return score, torch.stack(rows) if rows else torch.zeros(0, 2 * found.shape[1])


def test_outputs_that_are_empty_keep_their_shape() -> None:
    torch.manual_seed(0)
    model = ordinary(Empty())
    session = spa.analyze(model, torch.randn(5, 6))
    session.prune(ratio=0.5, scope="local")
    assert model(torch.randn(5, 6))[1].shape == (0, 14)
