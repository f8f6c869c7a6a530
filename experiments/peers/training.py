"""A trainer's seeds on a problem, from the request to the files."""

import pathlib
import sys

from gippo_jax.experiments.peers.children import ChildError, events
from gippo_jax.experiments.peers.lines import Request, Segment
from gippo_jax.experiments.peers.problems import PROBLEMS, TRAINERS, Budget
from gippo_jax.experiments.peers.results import is_finished, path_of, run_of, write_run


def train(problem: str, trainer: str, budget: Budget, num_seeds: int, python: str, out: pathlib.Path) -> None:
  """Trains a trainer's seeds on a problem that are not finished yet, and writes a file for each.

  Raises:
    UserError: when the folder holds other settings.
    ChildError: when the trainer's process ends badly; the seeds that it finished are kept.
  """
  entry, how = PROBLEMS[problem], TRAINERS[trainer]
  request = Request(
    algorithm=how.algorithm,
    environment=entry.environment,
    episode_length=entry.episode_length,
    settings=how.settings,
    seeds=[],
    epochs=budget.epochs,
    checkpoints=budget.checkpoints,
    episodes=entry.episodes,
  )
  seeds = [seed for seed in range(1, num_seeds + 1) if not is_finished(path_of(out, problem, trainer, seed), request)]
  if not seeds:
    print(f"{problem} {trainer}: finished before", flush=True)
    return
  segments: dict[int, list[Segment]] = {seed: [] for seed in seeds}
  interpreter = sys.executable if how.is_ours else python
  for event in events(interpreter, how.module, request._replace(seeds=seeds)):
    if event.seed not in segments:
      raise ChildError(f"{how.module} told of seed {event.seed}, which it was not asked for")
    if isinstance(event, Segment):
      segments[event.seed].append(event)
      continue
    found = segments.pop(event.seed)
    if len(found) != budget.checkpoints + 1:
      raise ChildError(f"{how.module} made {len(found)} evaluations of {budget.checkpoints + 1}")
    run = run_of(problem, trainer, request, found, event, is_first=event.seed == seeds[0])
    write_run(path_of(out, problem, trainer, event.seed), run)
    speed = run.steps[-1] / max(1e-9, sum(run.cpu_seconds))
    print(
      f"{problem} {trainer}, seed {event.seed}: {run.returns[-1]:.4g}, {speed:,.0f} steps per CPU second", flush=True
    )
  if segments:
    raise ChildError(f"{how.module} ended before seed {min(segments)}")
