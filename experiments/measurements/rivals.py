"""What the rivals return on the cart-pole, and what an epoch of theirs costs."""

import time
from collections.abc import Callable, Mapping, Sequence

import jax

from gippo_jax import envs
from gippo_jax.config import traced
from gippo_jax.experiments.configs import physics
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import parse
from gippo_jax.plain import Plain
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.registry import find

ALGORITHMS = ("shac", "rpo", "dva", "ahac", "sapo", "ivw_h", "aobg", "ddcg")


def epochs_of(algorithm: str) -> tuple[Callable[[TrainingState], TrainingState], TrainingState]:
  """A compiled epoch of the preset, and the state before the first."""
  experiment = parse(physics.get_config(f"cartpole,{algorithm}"))
  config = traced(experiment.config)
  epochs = make_epochs(envs.make(**experiment.env), config)
  update = jax.jit(lambda state: epochs.update(state, config)[0])
  return update, jax.block_until_ready(update(jax.jit(epochs.init)(jax.random.key(0), config)))


def seconds_per_epoch(algorithms: Sequence[str], num_rounds: int) -> dict[str, float]:
  """Best processor time of ten epochs of each, over ten, s; the algorithms take turns.

  The processor's time and not the clock's: it is the same whatever else the machine does. AHAC's epochs are those of
  a training's start, as all are.
  """
  ready = {algorithm: epochs_of(algorithm) for algorithm in algorithms}
  best = dict.fromkeys(algorithms, float("inf"))
  for _ in range(num_rounds):
    for algorithm, (update, state) in ready.items():
      begin = time.process_time()
      for _ in range(10):
        state = update(state)
      jax.block_until_ready(state)
      best[algorithm] = min(best[algorithm], (time.process_time() - begin) / 10)
  return best


def row_of(algorithm: str, summary: Mapping[str, Plain], seconds: Mapping[str, float]) -> list[str]:
  """A run as a row: returns of the last and of the best policies, seed by seed, and the cost of an epoch."""

  def numbers(name: str) -> str:
    return ", ".join(f"{value:.0f}" for value in summary[name])  # type: ignore[union-attr]

  cost = seconds[algorithm] / seconds["shac"]
  return [find(algorithm).label, numbers("evaluation_return"), numbers("best_evaluation_return"), f"{cost:.2f}"]
