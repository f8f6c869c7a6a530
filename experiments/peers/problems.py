"""What is compared: problems, trainers and their settings. Plain Python, since it is read under two versions of JAX."""

from typing import NamedTuple

from gippo_jax.plain import Plain

# Common to all trainers: 64 environments, windows of 32 steps in 4 minibatches, 5 passes, two hidden layers of 64.
NUM_ENVS = 64
HORIZON = 32
MINIBATCH_SIZE = 512
NUM_PASSES = 5
HIDDEN = (64, 64)
STEPS_PER_EPOCH = NUM_ENVS * HORIZON


class Problem(NamedTuple):
  """An environment that all its trainers take.

  Attributes:
    label: for readers.
    environment: the name by which `gippo_jax.make_env` makes it.
    episode_length: time limit in steps.
    episodes: of an evaluation.
    threshold: a return that counts as learned; `None` for none.
    trainers: names of those that run on it.
  """

  label: str
  environment: str
  episode_length: int
  episodes: int
  threshold: float | None
  trainers: tuple[str, ...]


class Trainer(NamedTuple):
  """A way to train.

  Attributes:
    label: for readers.
    module: what runs it, below `gippo_jax.experiments.peers`.
    algorithm: of that module.
    settings: what differs from the package's own defaults besides the common sizes.
    is_ours: whether it runs under our interpreter; if not, under the peers'.
  """

  label: str
  module: str
  algorithm: str
  settings: Plain
  is_ours: bool = False


class Budget(NamedTuple):
  """What is spent on a problem.

  Attributes:
    num_seeds: seeds 1, 2, ...
    epochs: windows of `STEPS_PER_EPOCH` steps; a multiple of `checkpoints`.
    checkpoints: evaluations after the first one, at equal distances.
  """

  num_seeds: int
  epochs: int
  checkpoints: int


_OURS = "train_ours"
_BRAX = "train_brax"
_REJAX = "train_rejax"

TRAINERS = {
  "ppo": Trainer("PPO, ours", _OURS, "ppo", {}, is_ours=True),
  # As many passes of the critic as of the policy: then both networks make the peers' number of gradient steps.
  "ppo_equal": Trainer("PPO, ours, equal steps", _OURS, "ppo", {"critic.num_iterations": NUM_PASSES}, is_ours=True),
  "shac": Trainer("SHAC, ours", _OURS, "shac", {}, is_ours=True),
  "brax_ppo": Trainer("Brax PPO", _BRAX, "ppo", {}),
  # Our defaults where Brax has the same field.
  "brax_ppo_ours": Trainer(
    "Brax PPO, our settings",
    _BRAX,
    "ppo",
    {
      "discounting": 0.99,
      "learning_rate": 3e-4,
      "clipping_epsilon": 0.2,
      "entropy_cost": 0.0,
      "normalize_observations": True,
      "max_grad_norm": 1.0,
    },
  ),
  "brax_apg": Trainer("Brax APG", _BRAX, "apg", {}),
  "brax_apg_ours": Trainer(
    "Brax APG, our settings", _BRAX, "apg", {"learning_rate": 1e-2, "normalize_observations": True}
  ),
  "rejax_ppo": Trainer("rejax PPO", _REJAX, "ppo", {}),
  "rejax_ppo_ours": Trainer(
    "rejax PPO, our settings", _REJAX, "ppo", {"normalize_observations": True, "ent_coef": 0.0, "max_grad_norm": 1.0}
  ),
}

PROBLEMS = {
  "cartpole": Problem(
    "Cart-pole swing-up",
    "cartpole",
    240,
    128,
    -1300.0,  # doing nothing is worth -1859
    ("ppo", "ppo_equal", "brax_ppo", "brax_ppo_ours", "shac", "brax_apg", "brax_apg_ours"),
  ),
  "pendulum": Problem(
    "Pendulum-v1", "gymnax:Pendulum-v1", 200, 128, -180.0, ("ppo", "ppo_equal", "rejax_ppo", "rejax_ppo_ours")
  ),
  "ant": Problem("Ant", "brax:ant", 1000, 32, None, ("ppo", "ppo_equal", "brax_ppo", "brax_ppo_ours")),
}

PRESETS = {
  "quick": {name: Budget(2, 40, 4) for name in ("cartpole", "pendulum")} | {"ant": Budget(1, 8, 2)},
  "cpu": {"cartpole": Budget(5, 500, 20), "pendulum": Budget(5, 500, 20), "ant": Budget(3, 480, 10)},
}
