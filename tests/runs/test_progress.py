"""What a run shows: numbers on a narrow terminal, what takes time besides training, tags, pictures without returns."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gippo_jax.runs.events import scalars, tag_of
from gippo_jax.runs.plotting import plot_learning_curve
from gippo_jax.runs.progress import BarProgress, Phases, PlainProgress, format_number
from gippo_jax.runs.recording import hide_unfinished
from gippo_jax.runs.shown import shown_numbers

FIELDS = {"return": -0.001088, "alpha": 0.00016, "gradient": 0.34, "oldest/newest": 1.7, "steps/s": 123_456.0}


def test_eighty_columns_hold_epoch_return_and_time_left():
  screen = io.StringIO()
  bar = BarProgress(Console(width=80, file=screen, force_terminal=True, color_system=None))
  bar.start(0, 500)
  bar.update(123, FIELDS)
  bar.stop()
  drawn = screen.getvalue()
  assert "epoch 123/500" in drawn
  assert "left" in drawn
  assert "return -0.001088" in drawn
  assert "alpha 0.00016" in drawn
  assert max(map(len, drawn.replace("\r", "\n").split("\n"))) < 140  # with the escapes that move the cursor


def test_phases_are_named_and_their_seconds_added(capsys):
  phases = Phases(PlainProgress())
  for _ in range(2):
    with phases("compiling"):
      pass
  with pytest.raises(KeyError), phases("evaluating"):
    raise KeyError
  assert set(phases.seconds) == {"compiling", "evaluating"}
  assert capsys.readouterr().out.count("compiling ...") == 2


def test_a_return_that_is_not_there_yet_is_said():
  assert format_number(float("nan")) == "none yet"
  metrics = {"return": np.array([[3.0, 4.0]]), "best_return": np.array([[3.0, 4.0]]), "episodes": np.array([[0, 2]])}
  hidden = hide_unfinished(metrics)
  np.testing.assert_array_equal(hidden["return"], [[np.nan, 4.0]])
  np.testing.assert_array_equal(metrics["return"], [[3.0, 4.0]])


def test_an_algorithm_says_what_is_shown():
  metrics = {
    "return": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "mine": np.array([[0.0, 0.5], [0.0, 0.7]]),
    "sample_gradient_norm": np.ones((2, 2)),
    "sample_gradient_norm_by_age": np.array([[[4.0, 1.0], [6.0, 2.0]]] * 2),
    "fault_share": np.zeros((2, 2)),
  }
  shown = shown_numbers(metrics, {"mine": "my share"}, 10.0)
  assert shown == {"return": 3.0, "my share": 0.6, "gradient": 1.0, "oldest/newest": 3.0, "steps/s": 10.0}


@pytest.mark.parametrize(
  ("name", "tag"),
  [
    ("return", "return/mean"),
    ("alpha", "alpha/alpha"),
    ("alpha_attempts", "alpha/attempts"),
    ("critic_loss", "critic/loss"),
    ("sample_gradient_norm", "gradient/norm"),
    ("sample_gradient_dropped", "faults/gradients_dropped"),
    ("fault_share", "faults/share"),
    ("action_limit_share", "actor/limit_share"),
    ("clipped_samples", "algorithm/clipped_samples"),
    ("own/group", "own/group"),
  ],
)
def test_tags_come_in_groups(name, tag):
  assert tag_of(name) == tag
  assert scalars(name, [1.0, 2.0]) == [(f"{tag}/0", 1.0), (f"{tag}/1", 2.0)]


def test_a_picture_without_a_finished_episode_says_so(tmp_path):
  rows = [{"seed": 1, "steps": 64 * epoch, "return": None, "alpha": 0.1 * epoch} for epoch in (1, 2)]
  plot_learning_curve(rows, "title", tmp_path / "with.png")
  with Image.open(tmp_path / "with.png") as image:
    width = image.width
  plot_learning_curve([row | {"alpha": None} for row in rows], "title", tmp_path / "without.png")
  with Image.open(tmp_path / "without.png") as image:
    assert image.width < width  # the panel of the return alone
    assert np.asarray(image.convert("L")).min() < 128  # and it is not empty


def test_a_pictures_numbers_lie_beside_it(tmp_path):
  rows = [
    {"seed": seed, "steps": 64 * epoch, "return": -1.0 * seed * epoch if seed == 1 or epoch < 3 else None}
    for epoch in (1, 2, 3)
    for seed in (1, 2)
  ]
  plot_learning_curve(rows, "title", tmp_path / "curve.png")
  assert (tmp_path / "curve.csv").read_text().splitlines() == [
    "quantity,steps,mean,low,high,seeds",
    "return,64,-1.5,-2.0,-1.0,2",
    "return,128,-3.0,-4.0,-2.0,2",
    "return,192,-3.0,-3.0,-3.0,1",
  ]
