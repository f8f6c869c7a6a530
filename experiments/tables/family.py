"""What a table is made of: problems with budgets, and columns, which are algorithms or variants of one."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gippo_jax import registry


class Variant(NamedTuple):
  """A column that is an algorithm with other settings.

  Attributes:
    label: for readers.
    algorithm: its name in the registry.
    changes: fields of the configuration by dotted name, and their values.
  """

  label: str
  algorithm: str
  changes: tuple[tuple[str, Any], ...]


def _optimistic(algorithm: str, label: str) -> dict[str, Variant]:
  return {
    f"{algorithm}_{kind}": Variant(f"{label}, {kind}", algorithm, (("optimism.kind", kind),))
    for kind in ("lazy", "meta")
  }


def _normalized(algorithm: str, label: str) -> dict[str, Variant]:
  changes = (("model.spectral_norm", True), ("actor.spectral_norm", True))
  return {f"{algorithm}_normalized": Variant(f"{label}, normalised", algorithm, changes)}


VARIANTS = {
  # Values are normalised, so that the unit of the rewards does not matter.
  "gippo_safe": Variant("GI-PPO, safe", "gippo", (("alpha.rule", "safe"), ("normalize_values", True))),
  **_optimistic("ppo", "PPO"),
  **_optimistic("gippo", "GI-PPO"),
  **_normalized("rp_dp", "RP-DP"),
  **_normalized("rp_dr", "RP-DR"),
}


def columns() -> list[str]:
  """All that a table may have: the algorithms in the order of the registry, that of the paper's tables; variants."""
  return [*registry.algorithms(), *VARIANTS]


def label_of(column: str) -> str:
  """What readers call an algorithm or a variant; its name, where it is not here."""
  known = VARIANTS.get(column) or registry.algorithms().get(column)
  return known.label if known else column


def in_order(chosen: Iterable[str]) -> list[str]:
  """Columns in the order of `columns`; unknown ones last."""
  known = columns()
  return sorted(chosen, key=lambda name: (known.index(name) if name in known else len(known), name))


class Published(NamedTuple):
  """A return that others report.

  Attributes:
    method: theirs.
    value: the return.
    steps: environment steps that it took.
    source: where it is reported.
  """

  method: str
  value: float
  steps: int
  source: str


class Problem(NamedTuple):
  """One row of a table.

  Attributes:
    label: for readers.
    argument: of `--config`, a file of `experiments/configs` and a task: `traffic:pace_car_2`.
    paper: the paper's mean of the best returns, by algorithm.
    published: what others report of the same task.
  """

  label: str
  argument: str
  paper: dict[str, float]
  published: tuple[Published, ...] = ()


class Budget(NamedTuple):
  """What a table spends on a problem.

  Attributes:
    num_seeds: seeds 1, 2, ...
    share_of_epochs: of the configuration's.
    changes: fields of the configuration by dotted name, and their values.
  """

  num_seeds: int
  share_of_epochs: float
  changes: tuple[tuple[str, Any], ...] = ()


# A budget for each problem that is trained.
Preset = dict[str, Budget]


class Family(NamedTuple):
  """The problems of one table.

  Attributes:
    problems: by name.
    algorithms: the table's columns, algorithms and variants.
    presets: by name; `paper` is the paper's budget.
    minimises: whether returns are minus a distance that is to become 0, to be compared by ratios.
    document: of `docs`, where the table stands.
    compares: whether the algorithms are compared with each other rather than with a paper's numbers.
    backward_passes: through a window's simulation in an epoch, by column; told where it is known.
  """

  problems: dict[str, Problem]
  algorithms: tuple[str, ...]
  presets: dict[str, Preset]
  minimises: bool
  document: str = "results.md"
  compares: bool = False
  backward_passes: Mapping[str, int] = {}

  def config_of(self, problem: str, column: str) -> ConfigDict:
    """The configuration of a problem for a column, an algorithm or a variant."""
    variant = VARIANTS.get(column, Variant("", column, ()))
    preset, _, task = self.problems[problem].argument.partition(":")
    module = importlib.import_module(f"gippo_jax.experiments.configs.{preset}")
    config = module.get_config(f"{task},{variant.algorithm}")
    config.update_from_flattened_dict(dict(variant.changes))
    return config
