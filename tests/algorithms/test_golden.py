"""Every algorithm against float64 traces of the authors' code, quantity by quantity, epoch by epoch.

Set `GIPPO_JAX_GOLDEN` to a folder to test against the traces in it instead: every `*/<algorithm>.npz` in it is found.
"""

import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.algorithms import Draws
from gippo_jax.config import Config, traced
from gippo_jax.learning.rollout import collect, collect_with_advantage_gradient
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests.configs import ALGORITHMS, config_of

GOLDEN = pathlib.Path(os.environ.get("GIPPO_JAX_GOLDEN", pathlib.Path(__file__).parents[1] / "golden"))
TRACES = sorted(path for path in GOLDEN.glob("*/*.npz") if path.stem in ALGORITHMS)
# Every algorithm once, and GI-PPO, which ends with PPO's step, in all settings; the others are slow.
ALWAYS = ("point_mass", "gippo")
CASES = [
  pytest.param(path, marks=() if {path.parent.name, path.stem} & set(ALWAYS) else pytest.mark.slow) for path in TRACES
]
TOLERANCE = 1e-7

# Names of the traces' metrics for ours; where both sides record the state after the epoch it is compared as such.
METRICS = {
  "gi_alpha": "alpha",
  "info_critic_lr": "critic_learning_rate",
  "info_actor_lr_no_ppo": "alpha_learning_rate",
  "alpha_attempts": "alpha_attempts",
  "alpha_first_loss": "alpha_first_loss",
  "alpha_last_loss": "alpha_last_loss",
  "gi_actor_loss_ratio": "alpha_loss_ratio",
  "ppo_attempts": "ppo_attempts",
  "ppo_first_loss": "ppo_first_loss",
  "ppo_last_loss": "ppo_last_loss",
  "gi_advantage_variance": "advantage_variance",
  "gi_advantage_gradient_variance": "advantage_gradient_variance",
  "gi_mean_est_hessian_det": "alpha_mean_determinant",
  "gi_min_est_hessian_det": "alpha_min_determinant",
  "gi_max_est_hessian_det": "alpha_max_determinant",
  "gi_out_of_range_ratio": "alpha_out_of_range_ratio",
  "gi_est_alpha_performance": "alpha_performance",
  "gi_est_alpha_performance_normalized": "alpha_standardized_performance",
}


def test_traces_are_found():
  """A typing error in the folder must not pass as 'nothing to compare'."""
  assert TRACES, f"no trace of {', '.join(ALGORITHMS)} below {GOLDEN}"


def config_of_case(case: dict) -> Config:
  """Our configuration of a trace's."""
  c = case["config"]
  actor_rate = {"learning_rate": c["actor_learning_rate"]}
  actor, critic = c["network"]["actor_mlp"]["units"], c["network"]["critic_mlp"]["units"]
  return traced(
    config_of(
      case["algorithm"],
      num_envs=case["num_envs"],
      horizon=case["horizon"],
      num_epochs=c["max_epochs"],
      discount=c["gamma"],
      gae_lambda=c["tau"],
      normalize_observations=c["normalize_input"],
      normalize_values=c["normalize_value"],
      statistics_prior="paper",
      normalize_advantages=c["normalize_advantage"],
      clip_gradients=c["truncate_grads"],
      max_gradient_norm=c["grad_norm"],
      actor={"units": actor, "fixed_std": c["network"]["fixed_sigma"]},
      critic={
        "units": critic,
        "learning_rate": c["critic_learning_rate"],
        "num_iterations": c["critic_iterations"],
        "num_minibatches": c["critic_num_batch"],
        "target_decay": c["target_critic_alpha"],
      },
      adam={"beta1": c["betas"][0], "beta2": c["betas"][1]},
      likelihood_ratio=actor_rate,
      rp={**actor_rate, "gae_lambda": c["tau"]},
      lrp={**actor_rate, "gae_lambda": c["tau"]},
      alpha={
        "initial": c["gi"]["alpha"],
        "maximum": c["gi"]["max_alpha"],
        "update_factor": c["gi"]["alpha_update_factor"],
        "determinant_interval": c["gi"]["alpha_interval"],
        "max_out_of_range_ratio": c["gi"]["max_oorr"],
        "learning_rate": c["actor_learning_rate_no_ppo"],
        "num_steps": c["gi"]["num_iter"],
      },
      ppo={
        **actor_rate,
        "clip_range": c["ppo"]["e_clip"],
        "minibatch_size": c["ppo"]["minibatch_size"],
        "num_passes": c["ppo"]["mini_epochs"],
      },
    )
  )


class Comparison:
  """Compares arrays relative to the trace's largest entry, and remembers what was compared."""

  def __init__(self, data):
    self.data = data
    self.unseen = {key for key in data.files if key.startswith("epoch_")}
    self.failures = []

  def __call__(self, key, actual):
    expected = self.data[key]
    self.unseen.discard(key)
    actual = np.asarray(actual, np.float64).reshape(expected.shape)
    error = np.max(np.abs(actual - expected)) / max(np.max(np.abs(expected)), 1e-300)
    if not error <= TOLERANCE:
      self.failures.append(f"{key}: relative error {error:.2e}")

  def tree(self, prefix, params):
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
      self("/".join([prefix, *(entry.key for entry in path)]), leaf)


def nested(data, prefix):
  """The parameter tree below `prefix`."""
  tree = {}
  for key in data.files:
    if key.startswith(prefix + "/"):
      *parents, leaf = key[len(prefix) + 1 :].split("/")
      node = tree
      for parent in parents:
        node = node.setdefault(parent, {})
      node[leaf] = jnp.asarray(data[key])
  return tree


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_trace(path):
  data = np.load(path)
  case = json.loads(str(data["config_json"]))
  config = config_of_case(case)
  env = envs.make("point_mass", dimension=case["dim"], episode_length=case["episode_length"])
  epochs = make_epochs(env, config)

  critic = nested(data, "init/critic")
  state = jax.jit(epochs.init)(jax.random.key(0), config).replace(
    actor=nested(data, "init/actor"), critic=critic, target_critic=critic
  )
  update = jax.jit(epochs.update)
  window_of = jax.jit(window_with_gradient, static_argnums=0)
  compare = Comparison(data)
  for epoch in range(case["epochs"]):
    at = f"epoch_{epoch}"
    draws = Draws(noise=jnp.asarray(data["noise"][epoch]), key=jax.random.key(0))
    if f"{at}/lrp_permutation" in data.files:
      draws = draws._replace(permutation=jnp.asarray(data[f"{at}/lrp_permutation"]))
      compare.unseen.discard(f"{at}/lrp_permutation")
    compare_window(compare, at, window_of(env, config, state, draws))
    state, metrics = update(state, config, draws)
    compare_state(compare, at, state, config)
    for theirs, ours in METRICS.items():
      if f"{at}/metrics/{theirs}" in data.files:
        compare(f"{at}/metrics/{theirs}", metrics[ours])
    if f"{at}/metrics/info_actor_lr" in data.files:
      of_ppo = case["algorithm"] in ("ppo", "gippo")
      compare(f"{at}/metrics/info_actor_lr", metrics["ppo_learning_rate" if of_ppo else "actor_learning_rate"])
  assert not compare.failures, "\n".join(compare.failures)
  assert not compare.unseen, f"recorded but not compared: {sorted(compare.unseen)}"


def window_with_gradient(env, config, state, draws):
  setup = make_setup(env, config)
  if config.algorithm != "gippo":
    return collect(setup, state, state.actor, draws.noise)[1], None
  return collect_with_advantage_gradient(setup, state, draws.noise)[1:]


def compare_window(compare, at, window_and_gradient):
  window, gradient = window_and_gradient
  for name in ("observation", "action", "value", "next_value", "reward", "episode_start", "advantage"):
    compare(f"{at}/rollout/{name}", getattr(window, name))
  compare(f"{at}/rollout/last_done", window.done[-1])
  if f"{at}/rollout/advantage_gradient" in compare.data.files:
    compare(f"{at}/rollout/advantage_gradient", gradient)


def compare_state(compare, at, state, config):
  compare.tree(f"{at}/actor", state.actor)
  compare.tree(f"{at}/critic", state.critic)
  compare.tree(f"{at}/target_critic", state.target_critic)
  statistics = state.observation_statistics
  compare(f"{at}/obs_rms/mean", statistics.mean)
  compare(f"{at}/obs_rms/var", statistics.variance)
  compare(f"{at}/obs_rms/count", statistics.count)
  if config.normalize_values:
    compare(f"{at}/value_rms/mean", state.value_statistics.mean)
    compare(f"{at}/value_rms/var", state.value_statistics.variance)
  if config.algorithm == "gippo":
    compare(f"{at}/next_alpha", state.algorithm.alpha.alpha)
    compare(f"{at}/next_alpha_lr", state.algorithm.alpha_rate)
    compare(f"{at}/next_ppo_lr", state.algorithm.surrogate.rate)
  if config.algorithm == "ppo" and f"{at}/next_ppo_lr" in compare.data.files:
    compare(f"{at}/next_ppo_lr", state.algorithm.rate)
