"""When a member is given up: by what, and that an interruption changes nothing."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gippo_jax.runs.divergence import DivergenceWatch


def metrics_of(bad, name="critic_skipped_share"):
  bad = np.asarray(bad, float)
  return {"critic_loss": np.zeros_like(bad), name: bad}


@given(
  bad=st.lists(st.sampled_from([0.0, 1.0, 1.0, 1.0]), min_size=60, max_size=60),
  cuts=st.lists(st.integers(1, 59), max_size=6, unique=True),
)
def test_an_interruption_changes_nothing(bad, cuts):
  """Broken by counting from 0 after every start: a run that is interrupted often enough is never given up."""
  bad = np.asarray([bad, [1.0] * 60])
  whole, resumed = DivergenceWatch(2, 1, 0.2), DivergenceWatch(2, 1, 0.2)
  edges = [0, *sorted(cuts), 60]
  for begin, end in itertools.pairwise(edges):
    chunk = metrics_of(bad[:, begin:end])
    whole.update(begin, chunk)
    stored = json.loads(json.dumps(resumed.plain()))
    resumed = DivergenceWatch(2, 1, 0.2)
    resumed.resume(stored)
    resumed.update(begin, chunk)
    assert resumed.plain() == whole.plain()
  assert whole.lost[1]


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("critic_skipped_share", "100 % of the critic's steps were skipped"),
    ("ppo_skipped_share", "100 % of the ppo's steps were skipped"),
    ("critic_nonfinite_share", "100 % of the critic's gradients had entries that were not finite"),
    ("fault_share", "100 % of the steps failed"),
    ("model_nonfinite_predictions", "100 % of the model's predictions were not finite"),
    ("model_empty_buffer", "100 % of the model's minibatches came of an empty buffer"),
  ],
)
def test_every_share_counts(name, words):
  """Broken by looking at steps and samples alone: an optimiser that never moves finishes."""
  watch = DivergenceWatch(1, 1, 0.2)
  more = {"fault_step": np.zeros((1, 30)), "fault_environment": np.zeros((1, 30))} if name == "fault_share" else {}
  watch.update(0, metrics_of(np.ones((1, 30)), name) | more)
  assert watch.lost.all()
  assert words in watch.reasons[0]


@pytest.mark.parametrize("name", ["actor_loss", "critic_loss", "alpha_last_loss"])
def test_every_loss_counts(name):
  watch = DivergenceWatch(1, 1, 0.2)
  metrics = {"critic_loss": np.zeros((1, 30)), name: np.full((1, 30), np.inf)}
  watch.update(0, metrics)
  assert watch.lost.all()
  assert name.partition("_")[0] in watch.reasons[0]


def test_what_is_tolerated_is_no_reason():
  watch = DivergenceWatch(1, 1, 0.2)
  watch.update(0, metrics_of(np.full((1, 100), 0.2)))
  assert not watch.lost.any()
