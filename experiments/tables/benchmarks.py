"""The field's shared benchmarks, with what others publish of them."""

from typing import NamedTuple

from gippo_jax.experiments.configs import brax
from gippo_jax.experiments.tables.family import Budget, Family, Preset, Problem, Published

_REPPO = "REPPO's repository (cvoelcker/reppo, commit a7ab85b, 2026-02), median of final returns"
_SLM = "SLM-Lab's docs/BENCHMARKS.md (2026-03)"
_QDIFFRL = "qDiffRL's EXPERIMENTS.md (3 seeds)"
_MILLION = 1_000_000


class _Row(NamedTuple):
  """What is published of a task of MuJoCo Playground, in the order of `_METHODS`; `None` where nothing is."""

  ppo: float | None
  sac: float | None
  reppo: float | None
  fast_td3: float | None
  slm_ppo: float | None
  rpo: float | None = None
  rpo_millions: int = 1


_METHODS = (
  ("PPO", 500, _REPPO),
  ("SAC", 500, _REPPO),
  ("REPPO", 200, _REPPO),
  ("FastTD3", 50, _REPPO),
  ("PPO of SLM-Lab", 100, _SLM),
)
_PLAYGROUND = {
  "CartpoleSwingup": _Row(816, 861, 867, 872, 729, 800, 1),
  "CartpoleBalance": _Row(1000, 994, 1000, 999, 968),
  "AcrobotSwingup": _Row(216, 44, 411, 179, 253),
  "PendulumSwingup": _Row(62, 85, 829, 67, 637),
  "BallInCup": _Row(908, 971, 975, 0, 942),
  "ReacherEasy": _Row(982, 971, 977, 975, 955),
  "ReacherHard": _Row(977, 952, 974, 966, 947),
  "FishSwim": _Row(641, 454, 675, 146, 581, 745, 5),
  "CheetahRun": _Row(855, 912, 934, 901, 883),
  "WalkerRun": _Row(711, 718, 893, 834, 760),
  "HopperHop": _Row(2, 121, 156, 30, 22),
}


def _published(row: _Row) -> tuple[Published, ...]:
  found = [
    Published(method, value, millions * _MILLION, source)
    for (method, millions, source), value in zip(_METHODS, row[: len(_METHODS)], strict=True)
    if value is not None
  ]
  if row.rpo is not None:
    found.append(Published("RPO", row.rpo, row.rpo_millions * _MILLION, _QDIFFRL))
  return tuple(found)


BENCHMARKS = {
  "quadrotor_hover": Problem("Quadrotor, hover", "quadrotor:hover", {}),
  "quadrotor_figure_eight": Problem("Quadrotor, figure of eight", "quadrotor:figure_eight", {}),
  "pendulum": Problem(
    "Pendulum-v1 (gymnax)",
    "gymnax:Pendulum-v1",
    {},
    (
      Published("PPO of SLM-Lab", -175, 300_000, _SLM),
      Published("SAC of SLM-Lab", -151, 300_000, _SLM),
      Published("CrossQ of SLM-Lab", -146, 300_000, _SLM),
      Published("PPO of Stable-Baselines3", -230, 100_000, "a model card of the Stable-Baselines3 hub (+- 143)"),
    ),
  ),
  **{
    f"playground_{task}": Problem(task, f"playground:{task}", {}, _published(row)) for task, row in _PLAYGROUND.items()
  },
  **{f"brax_{task}": Problem(f"{task} (Brax, spring)", f"brax:{task}", {}) for task in brax.TASKS},
}


def _wide(share: float) -> Budget:
  """3 M steps of a seed by 64 environments: on an accelerator many take little longer than 16."""
  return Budget(5, share, (("num_envs", 64),))


def _presets() -> dict[str, Preset]:
  # What two CPU cores do within two hours.
  within_two_hours = (
    *("quadrotor_hover", "quadrotor_figure_eight", "pendulum"),
    *("playground_CartpoleSwingup", "playground_CartpoleBalance"),
  )
  return {
    "quick": dict.fromkeys(("quadrotor_hover", "pendulum"), Budget(3, 0.2)),
    "cpu": dict.fromkeys(within_two_hours, Budget(5, 1.0)),
    # Some hours for all columns: a column's seeds take half an hour and more.
    "long": dict.fromkeys((*within_two_hours, "playground_AcrobotSwingup", "playground_ReacherEasy"), Budget(5, 1.0)),
    "gpu": {
      **dict.fromkeys(("playground_PendulumSwingup", "playground_BallInCup"), _wide(0.15)),
      "playground_FishSwim": _wide(0.25),
      **dict.fromkeys(("playground_CheetahRun", "playground_WalkerRun", "playground_HopperHop"), _wide(0.075)),
    },
    "all": dict.fromkeys(BENCHMARKS, Budget(5, 1.0)),
  }


FAMILY = Family(
  BENCHMARKS,
  ("lr", "shac", "rpo", "sapo", "ppo", "pe", "gippo", "gippo_safe"),
  _presets(),
  minimises=False,
  document="benchmarks.md",
)
