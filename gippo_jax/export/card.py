"""The model card of an exported policy, Markdown: what it was trained for, how well it does it, how it was made."""

import json
from collections.abc import Sequence

import numpy as np

from gippo_jax import registry
from gippo_jax.export.formats import Format
from gippo_jax.plain import Plain
from gippo_jax.runs.statistics import bootstrap_interval
from gippo_jax.runs.stored import StoredRun
from gippo_jax.runs.summary import Summary


def card(run: StoredRun, contract: Plain, form: Format, commands: Sequence[str]) -> str:
  """The card.

  Args:
    run: that trained the policy.
    contract: of the exported file.
    form: of the file.
    commands: that made the policy and the file.
  """
  file, task = contract["file"], contract["task"]
  observation, action = contract["observation"], contract["action"]
  label = registry.find(contract["algorithm"]).label
  parameters = ", ".join(f"{name} = {value}" for name, value in task.items() if name != "name")
  rows = {
    "task": f"`{task['name']}`" + (f" ({parameters})" if parameters else ""),
    "algorithm": f"{label} (`{contract['algorithm']}`)",
    "policy": f"the {_WHICH[contract['policy']]} of seed {contract['seed']}, trained for {contract['epochs']} epochs",
    "observation": f"{_described(observation)}; {_normalization(observation)}",
    "action": f"{_described(action)}, each within [-1, 1]; deterministic",
    "file": f"`{file}` ({contract['format']}); every detail is in `{file}.json`",
    "equality": f"actions differ from the policy's by at most {contract['check']['largest_difference']:.2g} on "
    f"{contract['check']['observations']} observations",
  }
  summary = run.workdir.read_summary()
  example = form.usage.format(
    file=file,
    stem=file.rsplit(".", 1)[0],
    observation_size=observation["shape"][1],
    type=observation["type"],
  )
  parts = [
    f"# {label} on {task['name']}",
    "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items())]),
    "## Returns",
    *_returns(run, summary, contract),
    "## Use",
    f"```python\n{example}```",
    form.promise,
    "## How it was made",
    *([f"```\n{chr(10).join(commands)}\n```"] if commands else []),
    "\n".join(_versions(summary, contract)),
    "## Limits",
    "It was trained and evaluated on the simulator named above and on nothing else. Observations far from those of "
    "training (their mean and deviation are in the contract where they are normalised) are answered all the same. "
    "The noise that it explored with in training is not in the file.",
  ]
  return "\n\n".join(parts) + "\n"


_WHICH = {"best": "policy of the best mean return in training", "final": "last policy"}
_NO_INTERVAL = "one seed tells nothing of the spread between seeds"


def _returns(run: StoredRun, summary: Summary | None, contract: Plain) -> list[str]:
  """Of the run's evaluation, by seed, with intervals."""
  if summary is None:
    return ["The run has no summary: it was interrupted before its first evaluation."]
  episodes = run.experiment.run.evaluation_episodes
  if contract["policy"] == "best":
    returns, failed = summary["best_evaluation_return"], summary["best_evaluation_failed"]
  else:
    returns, failed = summary["evaluation_return"], summary["evaluation_failed"]
  lines = ["| seed | return | failed episodes |", "| --- | --- | --- |"]
  for seed, value, count in zip(summary["seeds"], returns, failed, strict=True):
    mark = " (this policy)" if seed == contract["seed"] else ""
    lines.append(f"| {seed}{mark} | {'none' if value is None else f'{value:.6g}'} | {count} |")
  means = np.asarray([value for value in returns if value is not None], float)
  text = f"Undiscounted return of the mean action, mean of {episodes} fresh episodes for each seed"
  interval = bootstrap_interval(means)
  if means.size:
    spread = _NO_INTERVAL if interval is None else f"95 % bootstrap interval {interval[0]:.6g} to {interval[1]:.6g}"
    text += f"; over {means.size} seed{'s' * (means.size > 1)} {means.mean():.6g} ({spread})"
  return ["\n".join(lines), f"{text}.", _episodes(run, contract)]


def _episodes(run: StoredRun, contract: Plain) -> str:
  """Of this policy's own episodes, where `evaluate` has left them."""
  command = f"python -m gippo_jax evaluate --workdir={run.workdir.path} --policy={contract['policy']}"
  missing = f"How far its episodes lie apart is added by `{command}`, followed by the same export."
  try:
    stored = json.loads((run.workdir.path / "evaluation.json").read_text())
    if stored["policy"] != contract["policy"]:
      return missing
    rows = [row["returns"] for row in stored["seeds"] if row["seed"] == contract["seed"]]
    returns = np.asarray([value for value in rows[0] if value is not None], float)
    interval = bootstrap_interval(returns)
  except (OSError, ValueError, KeyError, TypeError, IndexError):  # there is none, or it is something else
    return missing
  if interval is None:
    return missing
  low, middle, high = np.quantile(returns, [0.05, 0.5, 0.95])
  return (
    f"This policy in {returns.size} episodes of `evaluate`: mean {returns.mean():.6g}, 95 % bootstrap interval "
    f"{interval[0]:.6g} to {interval[1]:.6g}; quantiles 5 %, 50 %, 95 %: {low:.6g}, {middle:.6g}, {high:.6g}."
  )


def _described(end: Plain) -> str:
  entries = f": {', '.join(f'`{name}`' for name in end['entries'])}" if end["entries"] else ""
  size = end["shape"][1]
  return f"{size} number{'s' * (size > 1)} ({end['type']}){entries}"


def _normalization(observation: Plain) -> str:
  return "raw, the file normalises them" if observation["normalization"] else "raw, not normalised"


def _versions(summary: Summary | None, contract: Plain) -> list[str]:
  listed = [f"- exported with {_listed(contract['versions'])}"]
  if summary is None:
    return listed
  return [
    f"- trained with {_listed(summary['versions'])}, on {summary['device']}",
    f"- {summary['epochs']} epochs, {summary['steps']} environment steps for each of {len(summary['seeds'])} seeds, "
    f"{summary['run_seconds']:.1f} s",
    *listed,
  ]


def _listed(versions: Plain) -> str:
  """Versions in words, this package's with its commit first."""
  others = {name: value for name, value in versions.items() if name not in ("package", "git_commit")}
  commit = versions.get("git_commit")
  package = f"gippo_jax {versions['package']}" + (f" (commit {commit[:12]})" if commit else "")
  return ", ".join([package, *(f"{name} {value}" for name, value in others.items())])
