"""The parts of the benchmark by name, their tables, and what drifted."""

from collections.abc import Sequence

from gippo_jax.experiments.speed import accelerators, peers, physics, roofline, scaling, traffic, trainings
from gippo_jax.experiments.speed.parts import Measured, Part
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.plain import Plain

PARTS: dict[str, Part] = {
  "functions": trainings.FUNCTION_TRAININGS,
  "trainings": trainings.TRAININGS,
  "compile": trainings.COMPILATION,
  "sweep": trainings.SWEEPS,
  "traffic": traffic.PART,
  "physics": physics.PART,
  "ppo": peers.PART,
  "roofline": roofline.PART,
  "scaling": scaling.PART,
  "accelerator": accelerators.PART,
}
_BUSY = " (busy)"


def cells_of(part: Part, row: Plain) -> list[str]:
  """A row in words; whether the machine was busy stands behind its name."""
  first, *others = part.cells(row)
  return [first + _BUSY * row["busy"], *others]


def markdown(name: str, measured: Measured) -> str:
  """A part's table, with the machine and the date."""
  part = PARTS[name]
  table = markdown_table(part.columns, [cells_of(part, row) for row in measured.rows])
  busy = " Rows marked busy shared the machine with other work." if any(row["busy"] for row in measured.rows) else ""
  return f"{table}\n{measured.machine}, {measured.made}, repeats: {measured.repeats}.{busy}\n"


def drifted(part: Part, now: Sequence[Plain], committed: Sequence[Plain], tolerance: float) -> dict[str, tuple]:
  """Ratios that changed by more than `tolerance`, with the committed value and that of now."""
  before = part.ratios(committed)
  return {
    name: (before[name], value)
    for name, value in part.ratios(now).items()
    if name in before and abs(value / before[name] - 1) > tolerance
  }
