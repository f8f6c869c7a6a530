"""`python -m gippo_jax evaluate`."""

import pathlib
from collections.abc import Sequence

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

FLAGS = Flags(
  "evaluate",
  """
Returns of a run's policies on fresh episodes: python -m gippo_jax evaluate --workdir=DIR [--episodes=N] [--out=FILE]

For each seed the mean over its episodes, the share of episodes in which a step failed, and over all seeds the mean of
these means with its 95 % bootstrap interval. The same numbers go into a JSON file. A last policy (--policy=final) that
does worse by its mean action than it did with its noise in training is told of.""",
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the run.")
_EPISODES = FLAGS.integer("episodes", 128, "Fresh episodes for each seed.", minimum=1)
_SEED = FLAGS.integer("seed", None, "One of the run's seeds; all by default.")
_POLICY = FLAGS.choice("policy", "best", ["best", "final"], "The run's best policies, or its last.")
_EPISODE_SEED = FLAGS.integer("episode_seed", 0, "Draws other episodes for each number.")
_OUT = FLAGS.text("out", None, "JSON file to write. Default: evaluation.json in the run's folder.")


def main(words: Sequence[str]) -> int:
  """Evaluates and reports."""
  del words
  if _WORKDIR.value is None:
    raise UserError("--workdir is missing; allowed: the folder of a run")
  from gippo_jax.programs.devices import configure_jax

  configure_jax(1)
  import jax
  import numpy as np

  from gippo_jax.programs import compilation, estimate, memory
  from gippo_jax.programs.evaluation import SLICE, begin_episodes, continue_episodes, run_to_end
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.files import write_json
  from gippo_jax.runs.noise_free import describe, mean_action_is_worse
  from gippo_jax.runs.policy_files import stored_seeds
  from gippo_jax.runs.statistics import bootstrap_interval
  from gippo_jax.runs.stored import choose_seed, load_policy, open_run

  run = open_run(_WORKDIR.value)
  folder = run.workdir.path
  choose_seed(run.workdir, _SEED.value, _POLICY.value)  # refuses a folder without policies
  seeds = stored_seeds(folder) if _SEED.value is None else [_SEED.value]
  policies = [load_policy(folder, seed, _POLICY.value) for seed in seeds]
  env = make_environment(run.experiment.env)
  memory.require(2 * estimate.evaluation_bytes(env, _EPISODES.value), f"{_EPISODES.value} episodes side by side")
  begin = jax.jit(lambda key: begin_episodes(env, key, _EPISODES.value), compiler_options=compilation.once())
  often = compilation.often(env)
  advance = jax.jit(lambda policy, episodes: continue_episodes(policy, env, episodes, SLICE), compiler_options=often)

  def returns_of(policy):
    start = begin(jax.random.key(_EPISODE_SEED.value))
    ended = run_to_end(lambda episodes: advance(policy, episodes), start)
    assert ended is not None  # nothing stops them
    return np.asarray(ended.total, float)

  returns = np.stack([returns_of(policy) for policy in policies])

  rows = [
    {"seed": seed, "mean": _mean(row), "failed_share": float(np.mean(np.isnan(row))), "returns": row.tolist()}
    for seed, row in zip(seeds, returns, strict=True)
  ]
  means = np.asarray([row["mean"] for row in rows if row["mean"] is not None], float)
  interval = bootstrap_interval(means)
  results = {
    "environment": run.experiment.env,
    "algorithm": run.experiment.config.algorithm,
    "policy": _POLICY.value,
    "episodes": _EPISODES.value,
    "episode_seed": _EPISODE_SEED.value,
    "mean": float(means.mean()) if means.size else None,
    "interval_95": list(interval) if interval else None,
    "failed_share": float(np.mean(np.isnan(returns))),
    "seeds": rows,
  }
  out = pathlib.Path(_OUT.value).expanduser() if _OUT.value else folder / "evaluation.json"
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, results)
  except OSError as error:
    raise UserError(f"--out: {out} cannot be written ({error.strerror}); allowed: a file you may write") from None
  print("\n".join(_line(row) for row in rows))
  between = f", 95 % interval {interval[0]:.6g} to {interval[1]:.6g}" if interval else ""
  mean = "none" if results["mean"] is None else f"{results['mean']:.6g}"
  print(
    f"{_POLICY.value} policy: mean {mean}{between} over {len(seeds)} seed{'s' if len(seeds) > 1 else ''} with "
    f"{_EPISODES.value} episodes each, {100 * results['failed_share']:.3g} % of the episodes failed; {out}"
  )
  summary = run.workdir.read_summary()
  # Of the best policy's training return it is known only that it was the largest of many.
  if _POLICY.value == "final" and summary is not None and "final_return_error" in summary:
    places = [summary["seeds"].index(seed) for seed in seeds]
    noisy, errors = ([summary[name][place] for place in places] for name in ("final_return", "final_return_error"))
    inversion = describe(seeds, mean_action_is_worse(returns, noisy, errors), [row["mean"] for row in rows], noisy)
    if inversion:
      print(inversion)
  return 0


def _mean(returns) -> float | None:
  finite = returns[returns == returns]
  return float(finite.mean()) if finite.size else None


def _line(row: dict) -> str:
  mean = "none" if row["mean"] is None else f"{row['mean']:.6g}"
  return f"seed {row['seed']}: {mean}"
