"""The comparison in words: tables in Markdown, and where ours stands."""

from collections.abc import Iterator

from gippo_jax.experiments.peers.problems import PROBLEMS, TRAINERS
from gippo_jax.experiments.peers.results import Row, Run, equal_seconds, rivals_of, row_of, verdict
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.experiments.tables.text import number

Runs = dict[str, dict[str, list[Run]]]

_COLUMNS = (
  "trainer",
  "return at equal steps (95 %)",
  "at equal seconds",
  "steps/s",
  "steps per CPU second",
  "compile (s)",
  "gradient steps per 1000 environment steps, policy / critic",
)
_ARRIVAL = "to the threshold"


def markdown(runs: Runs) -> str:
  """A table for each problem, who stands where, and what it was made on."""
  parts = []
  for problem, trainers in runs.items():
    seconds = equal_seconds(trainers)
    rows = _rows(problem, trainers)
    entry = PROBLEMS[problem]
    steps = next(iter(trainers.values()))[0].steps[-1]
    threshold = "" if entry.threshold is None else f"; threshold {number(entry.threshold)}"
    parts += [
      f"### {entry.label}\n",
      f"{steps:,} environment steps; equal seconds: {seconds:.1f} CPU seconds{threshold}.\n",
      _table(rows, has_threshold=entry.threshold is not None),
      *_standings(rows),
      "",
    ]
  return "\n".join([*parts, _made_on(runs)]) + "\n"


def _rows(problem: str, trainers: dict[str, list[Run]]) -> dict[str, Row]:
  seconds = equal_seconds(trainers)
  return {name: row_of(runs, seconds, PROBLEMS[problem].threshold) for name, runs in trainers.items()}


def _table(rows: dict[str, Row], has_threshold: bool) -> str:
  columns = (*_COLUMNS, _ARRIVAL) if has_threshold else _COLUMNS
  cells = [[*_cells(trainer, row), *([_arrival(row)] if has_threshold else [])] for trainer, row in rows.items()]
  return markdown_table(columns, cells)


def _cells(trainer: str, row: Row) -> list[str]:
  interval = "({} to {})".format(*map(number, row.interval)) if row.interval else "(one seed)"
  compiled = "-" if row.compile_seconds is None else f"{row.compile_seconds:.1f}"
  return [
    f"{TRAINERS[trainer].label}",
    f"{number(row.mean)} {interval}",
    number(row.at_seconds),
    f"{row.steps_per_second:,.0f}",
    f"{row.steps_per_cpu_second:,.0f}",
    compiled,
    f"{1000 * row.policy_steps:.1f} / {1000 * row.value_steps:.1f}",
  ]


def _arrival(row: Row) -> str:
  if row.threshold_steps is None or row.threshold_seconds is None:
    return f"0 of {row.num_seeds}"
  return (
    f"{row.threshold_steps / 1000:,.0f} thousand steps, {row.threshold_seconds:.1f} s "
    f"({row.reached} of {row.num_seeds})"
  )


def _standings(rows: dict[str, Row]) -> Iterator[str]:
  """Where ours stands beside the peers, at equal steps."""
  found: dict[str, dict[str, list[str]]] = {}
  for ours, theirs in rivals_of(list(rows)):
    found.setdefault(ours, {}).setdefault(verdict(rows[ours], rows[theirs]), []).append(TRAINERS[theirs].label)
  for ours, verdicts in found.items():
    texts = [f"{word} {' and '.join(labels)}" for word, labels in verdicts.items()]
    yield f"- {TRAINERS[ours].label}, at equal steps: {'; '.join(texts).replace('level ', 'level with ')}."


def _made_on(runs: Runs) -> str:
  every = [run for trainers in runs.values() for seeds in trainers.values() for run in seeds]
  days = sorted({run.made for run in every})
  loads = [run.machine["load"] for run in every]
  machine = every[0].machine
  sides = []
  for words, is_ours in (("ours", True), ("peers", False)):
    versions: dict[str, str] = {}
    for run in every:
      if TRAINERS[run.trainer].is_ours == is_ours:
        versions |= run.versions
    sides.append(f"{words}: {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}")
  made = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
  return (
    f"Made on {made} by `python -m experiments.peers`; {machine['processor']}, {machine['cores']} core(s) used, load "
    f"of the machine {min(loads)} to {max(loads)}. {'; '.join(sides)}."
  )
