"""`python -m gippo_jax sweep`."""

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

if TYPE_CHECKING:
  from gippo_jax.sweep.folder import SweepFolder
  from gippo_jax.sweep.plan import Member
  from gippo_jax.sweep.results import Results
  from gippo_jax.sweep.space import Assignment, Space

FLAGS = Flags(
  "sweep",
  r"""
Trains many configurations side by side: python -m gippo_jax sweep --config=... --grid=... --workdir=DIR

For example:

  python -m gippo_jax sweep --config=functions:dejong1 --grid="alpha.initial=1e-5,1e-4,1e-3" \
    --config.num_seeds=4 --workdir=runs/sweep_dejong1""",
  takes_config=True,
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the sweep; made if needed. Default: runs/sweep_NAME.")
_SWEEP = FLAGS.text("sweep", None, "Python file with get_sweep(): lists of values or ranges by field.")
_GRID = FLAGS.text("grid", None, "The same on the command line: FIELD=VALUE,VALUE;FIELD=VALUE,...")
_RANDOM = FLAGS.integer(
  "random", None, "Draw so many settings, instead of taking all combinations.", minimum=1, maximum=1_000_000
)
_RANDOM_SEED = FLAGS.integer("random-seed", 0, "Of these draws.")
_CHUNK = FLAGS.integer("members-per-chunk", None, "Members trained side by side; by default what fits.", minimum=1)
_MEMORY = FLAGS.real("memory-gib", None, "Memory a chunk may take; by default 80 % of what is available.", 1e-6)
_ARRANGEMENT = FLAGS.choice(
  "arrangement", "auto", ["auto", "map", "vmap"], "Members of a device one after the other, in one batch, or by trial."
)
_CRITERION = FLAGS.choice(
  "criterion",
  "best_return",
  ["best_return", "final_return", "evaluation_return", "best_evaluation_return"],
  "Settings are ranked by the mean of this over their seeds.",
)
_PICTURES = FLAGS.choice("pictures", "best", ["best", "all"], "Members that get a learning_curve.png.")
_CSV = FLAGS.switch("csv", False, "Write metrics.csv into the folder of each member.")
_TRACKER = FLAGS.text(
  "tracker", None, "Also log each member to wandb or trackio, as a run of its own, when it has ended."
)
_PROJECT = FLAGS.text("tracker_project", None, "Project of the tracker's. Default: gippo_jax.")
_WORKERS = FLAGS.integer(
  "workers",
  1,
  "Processes that train this sweep together: this same command, started as often, on machines that share the folder.",
  minimum=1,
)
_DRY_RUN = FLAGS.switch("dry-run", False, "Only print the plan.")
_CACHE = FLAGS.switch("compilation_cache", True, "Keep compiled programs on disk for the next run.")
for _flag in (_RANDOM_SEED, _CHUNK, _MEMORY, _DRY_RUN):
  FLAGS.alias(_flag.name.replace("-", "_"), _flag.name)


def main(words: Sequence[str]) -> int:
  """Parses, validates, plans, trains, reports; returns the exit code."""
  del words
  if FLAGS.config.source is None and "env.name" not in FLAGS.config.overrides:
    raise UserError("--config is missing; allowed: PRESET or PATH.py:ARGUMENT, what all members have in common")

  from gippo_jax.cli.configuration import experiment_of
  from gippo_jax.programs.devices import configure_jax
  from gippo_jax.runs.interrupt import raised
  from gippo_jax.sweep.folder import SweepFolder
  from gippo_jax.sweep.plan import group_members, make_members
  from gippo_jax.sweep.space import assignments, check_space, expand

  base = experiment_of(FLAGS.config)
  space = _space()
  check_space(space, _RANDOM.value is not None)
  settings = assignments(space, _RANDOM.value, _RANDOM_SEED.value)
  experiments = expand(base, settings)
  members = make_members(experiments, settings)
  configure_jax(len(members), _CACHE.value)  # first: environments may make arrays

  folder = SweepFolder(_WORKDIR.value or pathlib.Path("runs") / f"sweep_{base.label}", base, settings, members)
  folder.check()
  try:
    with raised():
      return _run(folder, members, group_members(members), settings)
  except KeyboardInterrupt:  # while compiling, or between chunks; within one it ends the chunk in peace
    print(f"interrupted; the same command goes on where {folder.path} ends", file=sys.stderr)
    return 130


def _space() -> "Space":
  from gippo_jax.sweep.space import load_space, parse_grid

  if (_SWEEP.value is None) == (_GRID.value is None):
    raise UserError("--grid, --sweep: one of them is needed, and only one; see docs/sweeps.md")
  return load_space(_SWEEP.value) if _SWEEP.value is not None else parse_grid(_GRID.value)


def _run(
  folder: "SweepFolder", members: "list[Member]", groups: "list[list[Member]]", settings: "list[Assignment]"
) -> int:
  from gippo_jax.runs.progress import default_progress
  from gippo_jax.runs.tracking import tracker_of
  from gippo_jax.sweep.execute import Options, execute, make_environment, prepare
  from gippo_jax.sweep.listeners import Listeners
  from gippo_jax.sweep.results import report

  listeners = Listeners(folder, _CSV.value, tracker_of(folder.path, _TRACKER.value, _PROJECT.value), print)
  memory = None if _MEMORY.value is None else _MEMORY.value * 2**30
  options = Options(_CHUNK.value, _ARRANGEMENT.value, memory, _WORKERS.value)
  plan, status = [], "finished"

  def report_in_turn(status: str) -> "Results":
    whole = list(dict.fromkeys([*folder.stored_plan(), *plan]))  # with those of earlier starts and of other workers
    return report(folder, members, settings, _CRITERION.value, status, whole)

  def report_as(status: str) -> None:
    with folder.turn():
      report_in_turn(status)

  if all(map(folder.summary_of, members)):
    print(f"{folder.path} holds this sweep, finished; nothing to train.")
  else:
    # Every environment before any program: a wrong one at the end of a grid is told at once.
    environments = [make_environment(group) for group in groups]
    print(f"{len(settings)} settings, {len(members)} members in {len(groups)} groups; compiling", flush=True)
    prepared = [prepare(*pair, settings, folder, options) for pair in zip(groups, environments, strict=True)]
    plan = [group.describe() for group in prepared]
    print("\n".join(f"group {number + 1}: {line}" for number, line in enumerate(plan)), flush=True)
    if _DRY_RUN.value:
      return 0

    folder.open(print)
    status = execute(prepared, folder, default_progress, lambda: report_as("running"), listeners)
  with folder.turn():
    listeners.hear(members)  # what ended in earlier starts that did not ask for it
    results = report_in_turn(status)
    if results["best"]:
      _draw(folder, members, results)
    folder.chunks.close()
  return _tell(folder, results)


def _draw(folder: "SweepFolder", members: "list[Member]", results: "Results") -> None:
  from gippo_jax.runs.plotting import plot_learning_curve
  from gippo_jax.runs.rows import read_rows
  from gippo_jax.sweep.pictures import draw_heat_maps, draw_parallel_coordinates

  draw_parallel_coordinates(results, folder.parallel_coordinates)
  draw_heat_maps(results, folder.heat_map)
  for member, row in zip(members, results["members"], strict=True):
    workdir = folder.workdir_of(member)
    wanted = row["member"] == results["best"]["member"] or _PICTURES.value == "all"
    if wanted and row["status"] != "not done" and not workdir.learning_curve.exists():
      rows = read_rows(workdir)
      if rows:
        plot_learning_curve(rows, member.folder.replace("_", " "), workdir.learning_curve)


def _tell(folder: "SweepFolder", results: "Results") -> int:
  diverged = [row for row in results["members"] if row["status"] == "diverged"]
  for row in diverged:
    print(f"member {row['member']} was given up: {row['reason']}", file=sys.stderr)
  best = results["best"]
  if best is None:
    print(f"{results['status']}: no member has a score yet; files in {folder.path}")
    return 130 if results["status"] == "interrupted" else 1
  name, entry = results["criterion"], results["settings"][best["setting"]]
  score, shown = entry[name], ", ".join(f"{field}={value}" for field, value in best["values"].items())
  interval = score.get("interval_95")
  spread = f" (95 % interval {interval[0]:.6g} to {interval[1]:.6g})" if interval else ""
  print(
    f"{results['status']}: best setting {shown}; mean {name} {score['mean']:.6g}{spread} over {entry['seeds']} seeds, "
    f"{len(diverged)} members diverged; files in {folder.path}, its best run in {folder.best}"
  )
  return 130 if results["status"] == "interrupted" else 0
