"""Exercises: solutions pass, students' notebooks do not, and mistakes get their message."""

import re
import sys
from functools import cache
from pathlib import Path

import nbformat
import nbgrader.api
import pytest
import torch
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.validator import Validator
from traitlets.config import Config

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from release_exercises import release  # noqa: E402

SOURCES = sorted((ROOT / "notebooks" / "exercises" / "source").glob("*/*.ipynb"))
NAMES = [path.stem for path in SOURCES]

# Exercise, cell, what a student might write there, and what the check behind it says.
WRONG = [
    ("01-trace", "cut-stem", 'stem_cut = {("stem.weight", 0): [3], ("stem.bias", 0): [3]}',
     "Did you count the BatchNorm's channels"),
    ("01-trace", "cut-side",
     'side_cut = {("side.weight", 0): [1], ("side.bias", 0): [1], '
     '("head.weight", 1): [4, 5, 6, 7]}',
     "How many channels come before"),
    ("01-trace", "cut-side", 'side_cut = {("side.weight", 0): [1], ("side.bias", 0): [1], '
     '("head.weight", 1): [32, 33, 34, 35]}', "right numbers of channels, wrong ones"),
    ("01-trace", "count", "lost = 177", "Did you count the BatchNorm's channels"),
    ("02-criterion", "norm", "def whole_norm(context, group):\n"
     "    name, axis, rows = next(iter(context.slices(group)))\n"
     "    return np.sqrt((rows**2).sum(axis=1))", "first convolution alone"),
    ("02-criterion", "norm", "def whole_norm(context, group):\n"
     "    rows = np.concatenate([r for _, _, r in context.slices(group)], axis=1)\n"
     "    return np.sqrt((rows**2).sum(axis=0))", "Along which axis did you add up"),
    ("02-criterion", "unlike", "def unlike(context, group):\n"
     "    rows = np.concatenate([r for _, _, r in context.slices(group)], axis=1)\n"
     "    return np.linalg.norm(rows[:, None] - rows[None], axis=2).min(axis=1)",
     "Every channel is equal to itself"),
    ("03-budget", "compress", "def compress(net):\n"
     "    spa.analyze(net, x_train[:1]).prune(criterion='l2', ratio=0.2)\n    return net",
     "Over the budget.*which target counts work"),
    ("03-budget", "compress", "def compress(net):\n"
     "    spa.analyze(net, x_train[:1]).prune(criterion='l2', flops=3)",
     "did you forget `return`"),
    ("03-budget", "compress", "def compress(net):\n"
     "    spa.analyze(net, x_train[:1]).prune(criterion='l2', flops=3)\n    return net",
     "Make up for what has gone"),
    ("04-break", "naive", "def naive(net, index):\n    broken = copy.deepcopy(net)\n"
     "    broken.conv1.weight = without(broken.conv1.weight, index, 1)\n    return broken",
     "That is an \\*input\\* channel"),
    ("04-break", "error", 'module, gets, made_for = "bn", 6, 5', "The other way round"),
    ("04-break", "careful", "careful = careless", "these columns do not belong to it"),
    ("05-obs", "costs", "def costs(W, H):\n    return (W**2).sum(axis=0) / np.diag(H)",
     "Invert H first"),
    ("05-obs", "update", "def update(W, H, p):\n    return W * (np.arange(W.shape[1]) != p)",
     "You only removed it"),
    ("05-obs", "mine", "mine = update(second, hidden.T @ hidden / len(hidden), 6)",
     "subtract them, use the covariance"),
    ("06-frozen", "culprit", 'layer, operator, number = "body", "cumsum", 2',
     "does no harm to channels"),
    ("06-frozen", "culprit", 'layer, operator, number = "last", "Reshape", 16',
     "as it stands in forward"),
    ("06-frozen", "rewrite", "class Free(Frozen):\n    pass", "Still frozen: last"),
    ("06-frozen", "rewrite", "class Free(Frozen):\n    def forward(self, x):\n"
     "        x = torch.relu(self.last(torch.relu(self.body(torch.relu(self.stem(x))))))\n"
     "        return self.head(x.mean((2, 3)))", "Another result than before"),
    ("06-frozen", "limit", "def limit(net):\n    return 2 if type(net) is Frozen else 1000",
     "cannot be reached: one too many"),
]  # fmt: skip


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        # It starts a process whenever the gradebook is opened, for one and the same answer.
        patch.setattr("nbgrader.api.get_alembic_version", cache(nbgrader.api.get_alembic_version))
        assert [path.stem for path in release(folder)] == NAMES
        yield folder


@pytest.fixture(autouse=True)
def _as_found(monkeypatch):
    """Notebooks run in this process, and set what belongs to a kernel."""
    monkeypatch.setenv("SPA_KERNEL_NO_WIDGETS", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@cache
def cells(path):
    """The code cells of a notebook by id, in order."""
    found = nbformat.read(path, as_version=4).cells
    return {cell.id: cell for cell in found if cell.cell_type == "code"}


def run(chosen):
    space = {"__name__": "exercise"}
    for name, cell in chosen.items():
        exec(compile(cell.source, f"<{name}>", "exec"), space)


def is_answer(cell):
    return cell.metadata.get("nbgrader", {}).get("solution", False)


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_the_solution_passes_hidden_tests_too(path):
    run(cells(path))


@pytest.mark.parametrize("name", NAMES)
def test_students_get_no_solutions_and_must_work(course, name):
    path = course / "release" / name / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    assert not re.search("BEGIN (SOLUTION|HIDDEN)|Model answer", text)
    assert text.count("YOUR ANSWER HERE") == 2  # what to do with it, and the place itself
    answers = [cell for cell in cells(path).values() if is_answer(cell)]
    assert all("raise NotImplementedError" in cell.source for cell in answers)


@pytest.mark.parametrize(("name", "where", "answer", "said"), WRONG)
def test_a_typical_mistake_gets_its_message(course, name, where, answer, said):
    given = cells(course / "release" / name / f"{name}.ipynb")
    solved = cells(course / "source" / name / f"{name}.ipynb")
    # All else is right, and what is not asked for is left out; nothing after the mistake is run.
    tried = {key: solved[key] if is_answer(cell) else cell for key, cell in given.items()}
    tried = {key: cell for key, cell in tried.items() if "nbgrader" in cell.metadata}
    tried[where] = nbformat.from_dict({"source": answer})
    with pytest.raises(AssertionError, match=said):
        run(tried)


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_metadata_are_what_nbgrader_asks_for(path):
    notebook = nbformat.read(path, as_version=4)
    graded = [c.metadata.nbgrader for c in notebook.cells if "nbgrader" in c.metadata]
    assert len({cell.grade_id for cell in graded}) == len(graded)
    assert all(cell.schema_version == 3 for cell in graded)
    assert sum(cell.grade and cell.solution for cell in graded) == 1, "one written question"
    points = sum(cell.get("points", 0) for cell in graded)
    assert f"**Points:** {points}" in notebook.cells[0].source
    texts = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert sum(map(int, re.findall(r"^## .*\((\d+) points\)$", texts, re.M))) == points
    readme = (ROOT / "notebooks" / "exercises" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"{path.stem}\.ipynb\).*\| {points} \|", readme)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nbgrader_validates_the_source_and_refuses_the_release(course, name):
    source, given = (
        Validator().validate(str(course / kind / name / f"{name}.ipynb"))
        for kind in ("source", "release")
    )
    assert "failed" not in source
    assert given["failed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01-trace"])
def test_nbgrader_gives_the_points_of_what_is_right(course, name):
    solved = {key: c.source for key, c in cells(source_of(name)).items() if is_answer(c)}
    _, where, wrong, _ = next(given for given in WRONG if given[0] == name)
    handed_in = {"right": solved, "nothing": {}, "a-mistake": {**solved, where: wrong}}
    points = {who: graded(course, who, name, answers) for who, answers in handed_in.items()}
    full = {check: most for check, (_, most) in points["right"].items()}
    for who, zero in (("right", ()), ("nothing", full), ("a-mistake", [f"test-{where}"])):
        scores = {check: score for check, (score, _) in points[who].items()}
        assert scores == {**full, **dict.fromkeys(zero, 0)}, who


def source_of(name):
    return next(path for path in SOURCES if path.stem == name)


def graded(course, student, name, answers):
    """The points that nbgrader gives for these answers, and the most there are, by check."""
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    file = course / "submitted" / student / name / f"{name}.ipynb"
    file.parent.mkdir(parents=True)
    nbformat.write(notebook, file)
    config = Config()
    config.CourseDirectory.root = str(course)
    config.ExecutePreprocessor.timeout = 300
    result = NbGraderAPI(config=config).autograde(name, student, create=True)
    assert result["success"], result["log"]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        (found,) = book.find_submission(name, student).notebooks
        return {
            grade.name: (grade.auto_score, grade.max_score)
            for grade in found.grades
            if grade.name.startswith("test-")
        }
