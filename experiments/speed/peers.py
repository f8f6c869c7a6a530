"""Our trainers beside other packages' at equal work: networks, minibatches, gradient steps.

Each is trained for a few windows in a process of its own, in turns, by `experiments.peers`.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence

from gippo_jax.experiments.peers.children import events, require_interpreter
from gippo_jax.experiments.peers.lines import Finished, Request, Segment
from gippo_jax.experiments.peers.problems import NUM_PASSES, PROBLEMS, STEPS_PER_EPOCH, TRAINERS
from gippo_jax.experiments.speed.parts import Options, Part
from gippo_jax.plain import Plain

# Networks as the peers have them, for timing the same work.
_THEIR_NETWORKS: Plain = {
  f"{network}.{name}": value
  for network in ("actor", "critic")
  for name, value in (("layer_norm", False), ("activation", "silu"))
}
_OURS = {
  "ppo_work": TRAINERS["ppo"]._replace(
    label="PPO, ours, equal work",
    settings={"critic.num_iterations": NUM_PASSES, "retry.max_attempts": 1, **_THEIR_NETWORKS},
  ),
  # APG has no critic: the least that SHAC's can do.
  "shac_work": TRAINERS["shac"]._replace(
    label="SHAC, ours, one step of the critic",
    settings={"critic.num_iterations": 1, "critic.num_minibatches": 1, **_THEIR_NETWORKS},
  ),
}
TRAINERS_AT_EQUAL_WORK = TRAINERS | _OURS
# By problem, ours and theirs at equal work.
_PAIRS = {
  "cartpole": (("ppo_work", "brax_ppo_ours"), ("shac_work", "brax_apg_ours")),
  "pendulum": (("ppo_work", "rejax_ppo_ours"),),
}
_EPOCHS = 200
_STRETCHES = 8


def require(options: Options) -> None:
  """Checks that the peers are there.

  Raises:
    UserError: when they are not.
  """
  require_interpreter(options.peers_python)


def _speeds(problem: str, trainer: str, options: Options) -> tuple[list[float], float]:
  """Steps per second of every stretch, and seconds of compilation."""
  entry, how = PROBLEMS[problem], TRAINERS_AT_EQUAL_WORK[trainer]
  request = Request(
    algorithm=how.algorithm,
    environment=entry.environment,
    episode_length=entry.episode_length,
    settings=how.settings,
    seeds=[1],
    epochs=_EPOCHS,
    checkpoints=_STRETCHES,
    episodes=2,
  )
  stretches, compiled = [], 0.0
  for event in events(sys.executable if how.is_ours else options.peers_python, how.module, request):
    if isinstance(event, Segment) and event.seconds > 0:
      stretches.append(event.seconds)
    if isinstance(event, Finished) and event.compile_seconds is not None:
      compiled = event.compile_seconds
  steps = _EPOCHS // _STRETCHES * STEPS_PER_EPOCH
  return [steps / seconds for seconds in stretches], compiled


def rows(options: Options) -> Iterator[Plain]:
  """Times every pair, taking turns."""
  for problem, pairs in _PAIRS.items():
    for pair in pairs:
      speeds: dict[str, list[float]] = {trainer: [] for trainer in pair}
      compiled = dict.fromkeys(pair, 0.0)
      for _ in range(options.repeats):
        for trainer in pair:
          found, compiled[trainer] = _speeds(problem, trainer, options)
          speeds[trainer] += found
      ours, theirs = (statistics.median(speeds[trainer]) for trainer in pair)
      yield {
        "problem": problem,
        "pair": list(pair),
        "steps_per_second": [ours, theirs],
        "spread": [[min(speeds[trainer]), max(speeds[trainer])] for trainer in pair],
        "compile_seconds": [compiled[trainer] for trainer in pair],
        "ratio": ours / theirs,
      }


COLUMNS = ("problem", "ours", "steps/s", "compile (s)", "theirs", "steps/s", "compile (s)", "ours over theirs")


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""
  found = [PROBLEMS[row["problem"]].label]
  for trainer, speed, (least, most), seconds in zip(
    row["pair"], row["steps_per_second"], row["spread"], row["compile_seconds"], strict=True
  ):
    found += [TRAINERS_AT_EQUAL_WORK[trainer].label, f"{speed:,.0f} ({least:,.0f} to {most:,.0f})", f"{seconds:.1f}"]
  return [*found, f"{row['ratio']:.2f}"]


def ratios(rows: Sequence[Plain]) -> dict[str, float]:
  """Our speed over theirs."""
  return {f"{row['problem']}, {row['pair'][0]}": row["ratio"] for row in rows}


PART = Part("performance.md", COLUMNS, rows, cells, ratios, require)
