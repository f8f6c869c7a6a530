"""`python -m gippo_jax train`, and as `python -m gippo_jax.main`."""

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gippo_jax.cli.flags import Flags

if TYPE_CHECKING:
  from gippo_jax.envs.base import Environment
  from gippo_jax.parsing import Experiment
  from gippo_jax.runs.loggers import Logger
  from gippo_jax.runs.summary import Summary
  from gippo_jax.runs.workdir import Workdir

FLAGS = Flags(
  "train",
  r"""
Trains a policy: python -m gippo_jax train --config=PRESET [--config.FIELD=VALUE ...] --workdir=DIR

For example:

  python -m gippo_jax.main --config=functions:ackley64 --workdir=runs/ackley64
  python -m gippo_jax.main --config=any:shac --config.env.name=my_package.hover:Hover --workdir=runs/hover

The same command again resumes the run; --workdir alone does so, too. A finished run goes on with a larger
--config.num_epochs.""",
  takes_config=True,
)
_WORKDIR = FLAGS.text("workdir", None, "Folder for the run's files; made if needed. Default: runs/NAME.")
_INIT_FROM = FLAGS.text("init_from", None, "Folder of a run whose networks and statistics this one starts from.")
_CSV = FLAGS.switch("csv", False, "Write metrics.csv beside metrics.jsonl; a folder that has one keeps it up to date.")
_TRACKER = FLAGS.text(
  "tracker", None, "Also log to wandb or trackio; none for no tracker. Default: what the run in the folder had."
)
_PROJECT = FLAGS.text("tracker_project", None, "Project of the tracker's. Default: gippo_jax.")
_CACHE = FLAGS.switch("compilation_cache", True, "Keep compiled programs on disk for the next run.")
_DETERMINISTIC = FLAGS.switch(
  "deterministic", False, "Make an accelerator compute the same bits in every run; slower. A CPU always does."
)
_SHARD = FLAGS.switch(
  "shard_environments",
  False,
  "Split the environments of one run over all devices, not the seeds; see docs/sweeps_devices.md.",
)
_DISTRIBUTED = FLAGS.switch(
  "distributed", False, "Run as one of several processes, started alike; implies --shard_environments."
)
_COORDINATOR = FLAGS.text("coordinator_address", None, "HOST:PORT of process 0. Default: found by JAX.")
_NUM_PROCESSES = FLAGS.integer("num_processes", None, "Number of processes. Default: found by JAX.", minimum=1)
_PROCESS_ID = FLAGS.integer("process_id", None, "Which of the processes this is. Default: found by JAX.")

_NO_CONFIG = """\
Nothing to train: give a configuration, for example

  python -m gippo_jax.main --config=functions:ackley64 --workdir=runs/ackley64

Change any field with --config.FIELD=VALUE, e.g. --config.algorithm=ppo --config.num_seeds=5;
docs/configuration.md lists them. --help shows the flags."""


def main(words: Sequence[str]) -> int:
  """Parses, validates, runs; returns the exit code."""
  del words
  given = FLAGS.config
  if given.source is None and not given.overrides and _WORKDIR.value is None:
    print(_NO_CONFIG)
    return 2
  from gippo_jax.cli.configuration import experiment_of
  from gippo_jax.programs import hosts
  from gippo_jax.programs.devices import configure_jax, make_deterministic
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.noise_free import describe
  from gippo_jax.runs.threads import use_one_if_small
  from gippo_jax.runs.workdir import Workdir

  stored = None if _WORKDIR.value is None else Workdir(_WORKDIR.value).stored()
  if given.source is None and stored is None and "env.name" not in given.overrides:
    print(_NO_CONFIG)
    return 2
  run = {} if _INIT_FROM.value is None else {"init_from": _INIT_FROM.value}
  experiment = experiment_of(given, stored, **run)
  by_environment = _SHARD.value or _DISTRIBUTED.value
  if _DETERMINISTIC.value:
    make_deterministic()
  if not by_environment:
    use_one_if_small(experiment)
  configure_jax(_num_cpu_devices(experiment), _CACHE.value)  # first: environments may make arrays
  if _DISTRIBUTED.value:
    hosts.connect(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    hosts.require_same(experiment.to_dict())
  workdir = Workdir(_WORKDIR.value or pathlib.Path("runs") / experiment.label)
  loggers = _loggers(workdir)
  env = make_environment(experiment.env)
  summary = train(experiment, env, workdir, by_environment, loggers)
  if hosts.is_first():
    print(_result_line(summary, workdir))
    if "mean_action_worse" in summary:
      scores = summary["evaluation_return"], summary["final_return"]
      inversion = describe(summary["seeds"], summary["mean_action_worse"], *scores)
      if inversion:
        print(inversion)
    for seed, reason in zip(summary["seeds"], summary["reasons"], strict=True):
      if reason:
        print(f"seed {seed} was given up: {reason}", file=sys.stderr)
  return {"interrupted": 130, "diverged": 1}.get(summary["status"], 0)


def train(
  experiment: "Experiment",
  env: "Environment",
  workdir: "Workdir",
  by_environment: bool,
  loggers: "Sequence[Logger]" = (),
) -> "Summary":
  """Trains, or reads what is finished."""
  from gippo_jax.programs import hosts
  from gippo_jax.programs.members import make_members
  from gippo_jax.programs.sharded import ShardedMembers
  from gippo_jax.runs.ended import tell_ended
  from gippo_jax.runs.prepare import prepare
  from gippo_jax.runs.progress import NoProgress, Phases, default_progress
  from gippo_jax.runs.runner import run

  progress = default_progress() if hosts.is_first() else NoProgress()
  phases = Phases(progress)
  summary = hosts.of_first(lambda: prepare(experiment, env, workdir, phases, by_environment))
  if summary is not None:
    if hosts.is_first():
      print(f"{workdir.path} holds this run, {summary['status']}; nothing to do.")
      tell_ended(workdir, experiment, summary, loggers, print)
    return summary
  return run(experiment, env, workdir, progress, ShardedMembers if by_environment else make_members, phases, loggers)


def _loggers(workdir: "Workdir") -> "list[Logger]":
  """What the flags ask for, besides the files that every run has."""
  from gippo_jax.runs.sinks import CsvFile
  from gippo_jax.runs.tracking import tracker_of

  tracker = tracker_of(workdir.path, _TRACKER.value, _PROJECT.value)
  return [*([CsvFile()] if _CSV.value else []), *([tracker] if tracker else [])]


def _num_cpu_devices(experiment: "Experiment") -> int:
  """Devices that a CPU is to be: one per core for environments, at most one per seed, one per process of several."""
  from gippo_jax.programs.devices import num_cores

  if _DISTRIBUTED.value:
    return 1
  return num_cores() if _SHARD.value else experiment.run.num_seeds


def _result_line(summary: "Summary", workdir: "Workdir") -> str:
  def mean(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None and value == value]
    return f"{sum(numbers) / len(numbers):.6g}" if numbers else "none"

  seeds = f"{len(summary['seeds'])} seed{'s' if len(summary['seeds']) > 1 else ''}"
  best = f"best return {mean(summary['best_return'])}"
  if not any(summary.get("episodes", [1])):
    best = "no episode has finished in training, so that the last policy stands for the best"
  return (
    f"{summary['status']}: {summary['algorithm']}, {seeds}, {summary['epochs']} epochs; {best}, evaluation return "
    f"{mean(summary['evaluation_return'])} (of the best policy {mean(summary['best_evaluation_return'])}); compiled in "
    f"{summary['compile_seconds']:.1f} s, ran {summary['run_seconds']:.1f} s, peak memory "
    f"{summary['memory_bytes'].get('peak', 0) / 2**20:.0f} MiB; files in {workdir.path}"
  )
