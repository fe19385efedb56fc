import io
from functools import partial

import pytest
from tqdm import tqdm

from spa_kernel.progress import Bar, listening, report, shown


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class FakeBar:
    def __init__(self, **options):
        self.drawn, self.closed, self.n, self.total = [], False, 0, options["total"]

    def reset(self, total):
        self.total = total

    def set_description(self, text, refresh):
        self.text = text

    def refresh(self):
        self.drawn.append((self.text, self.n))

    def close(self):
        self.closed = True


@pytest.fixture
def watched():
    clock, made = Clock(), []

    def make(**options):
        made.append(FakeBar(**options))
        return made[-1]

    return clock, made, Bar(make, clock)


def test_reports_go_to_the_listener_of_the_block():
    heard = []
    report("lost")
    with listening(lambda *what: heard.append(what)):
        report("scoring", 3, 12)
        with listening(lambda *what: None):
            report("lost")
        report("planning")
    report("lost")
    assert heard == [("scoring", 3, 12), ("planning", 0, None)]


def test_a_short_job_shows_nothing(watched):
    clock, made, bar = watched
    for clock.now in (0.1, 0.3, 0.49):
        bar("scoring", 1, 2)
    bar.close()
    assert made == []


def test_ten_updates_a_second_and_every_phase(watched):
    clock, made, bar = watched
    for tick in range(3000):
        clock.now = tick / 1000
        bar("scoring", tick, 3000)
    bar("applying")
    bar.close()
    (shown_bar,) = made
    assert 23 <= len(shown_bar.drawn) <= 27
    assert shown_bar.drawn[0] == ("scoring 500 of 3000", 500)
    assert shown_bar.drawn[-1] == ("applying", 0)
    assert shown_bar.closed
    assert shown_bar.n == shown_bar.total


def test_text_bar_is_wiped_at_the_end():
    clock, stream = Clock(), io.StringIO()
    bar = Bar(partial(tqdm, file=stream, ncols=60), clock)
    clock.now = 1.5
    bar("scoring", 3, 12)
    bar("planning")
    bar.close()
    assert "scoring 3 of 12" in stream.getvalue()
    assert stream.getvalue().split("\r")[-2].strip() == ""


@pytest.mark.parametrize("switched_off", ["0", "1"])
def test_nothing_is_written_where_it_would_stay(capsys, monkeypatch, switched_off):
    """A file, a pipe or a cell without widgets is no terminal that could wipe it."""
    monkeypatch.setenv("SPA_KERNEL_NO_WIDGETS", switched_off)
    clock = Clock()
    bar = Bar(clock=clock)
    for clock.now in (1.0, 2.0, 3.0):
        bar("scoring", int(clock.now), 3)
    bar("planning")
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_nobody_listens_after_a_job_that_failed():
    def fail():
        with shown():
            report("capturing")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    report("nobody listens")
