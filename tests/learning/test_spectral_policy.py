"""A policy with spectral normalisation: against the singular value decomposition, and through a training's epoch."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.errors import UserError
from gippo_jax.learning.agents import actor_in_order, after_step, make_networks
from gippo_jax.learning.ensemble import make_ensemble
from gippo_jax.learning.spectral import init_direction
from tests.algorithms.settings import config_of, epoch, setting

OPTIONS = {"units": (8, 7, 6), "layer_norm": False, "spectral_norm": True}
CONFIG = config_of("shac", actor=OPTIONS)
OBS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))


@functools.cache
def networks_and_actor():
  networks = make_networks(4, 2, CONFIG.actor, CONFIG.critic)
  return networks, jax.jit(networks.init)(jax.random.key(0), CONFIG.actor)[0]


def converged(actor):
  network = actor["network"]
  directions = {
    layer: init_direction(jax.random.key(1), network[layer]["kernel"], 500) for layer in actor["directions"]
  }
  return {"network": network, "directions": directions}


def test_hidden_layers_but_the_first_are_divided_by_their_largest_singular_value():
  networks, actor = networks_and_actor()
  actor = converged(actor)
  assert set(actor["directions"]) == {"dense_1", "dense_2"}
  network = dict(actor["network"])
  for layer in actor["directions"]:
    kernel = network[layer]["kernel"]
    network[layer] = network[layer] | {"kernel": kernel / np.linalg.svd(kernel, compute_uv=False)[0]}
  plain = make_networks(4, 2, CONFIG.actor.replace(spectral_norm=False), CONFIG.critic)
  for ours, theirs in zip(networks.policy(actor, OBS), plain.policy(network, OBS), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
  np.testing.assert_array_equal(actor_in_order(networks, actor), actor_in_order(plain, actor["network"]))


def test_a_factor_changes_nothing_and_steepness_is_that_of_the_other_layers():
  networks, actor = networks_and_actor()
  actor = converged(actor)
  layer = actor["network"]["dense_1"]
  scaled = actor | {"network": actor["network"] | {"dense_1": layer | {"kernel": 9.0 * layer["kernel"]}}}
  np.testing.assert_allclose(networks.policy(scaled, OBS)[0], networks.policy(actor, OBS)[0], rtol=1e-9)

  def largest(layer):
    return np.linalg.svd(actor["network"][layer]["kernel"], compute_uv=False)[0]

  jacobians = jax.jit(jax.vmap(jax.jacobian(lambda obs: networks.policy(actor, obs)[0])))(OBS)
  steepness = max(np.linalg.svd(jacobian, compute_uv=False)[0] for jacobian in jacobians)
  assert 0.0 < steepness <= largest("dense_0") * largest("mean") * (1.0 + 1e-9)


def test_a_step_is_followed_by_a_power_iteration_and_the_optimiser_moves_no_direction():
  networks, actor = networks_and_actor()
  gradient = jax.jit(jax.grad(lambda actor: jnp.sum(networks.policy(actor, OBS)[0] ** 2)))(actor)
  assert not np.any(ravel_pytree(gradient["directions"])[0])
  assert np.any(gradient["network"]["dense_1"]["kernel"])
  moved = jax.jit(lambda actor: jax.lax.fori_loop(0, 500, lambda _, one: after_step(networks, one), actor))(actor)
  for layer, direction in converged(actor)["directions"].items():
    np.testing.assert_allclose(abs(direction @ moved["directions"][layer]), 1.0, rtol=1e-9)
  once = after_step(networks, actor)
  jax.tree.map(np.testing.assert_array_equal, after_step(make_ensemble(networks, 2, True), actor), once)


@pytest.mark.slow
def test_an_epoch_of_training_moves_kernels_and_directions():
  state, metrics = epoch("shac", actor=OPTIONS, shac={"learning_rate": 0.01})
  assert metrics["actor_gradient_norm"] > 0.0
  before, actor = state.best_policy.actor, state.actor
  for name in ("network", "directions"):
    assert np.max(np.abs(ravel_pytree(before[name])[0] - ravel_pytree(actor[name])[0])) > 1e-6
  for direction in actor["directions"].values():
    np.testing.assert_allclose(np.linalg.norm(direction), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"units": (8,)}, "actor.units = .8,., of which no layer is normalised; allowed: two hidden layers or more"),
    ({"units": (8, 8), "layer_norm": True}, "actor.layer_norm = True, .*; allowed: actor.layer_norm = False"),
    ({"units": (8, 8), "network": "my_package.nets:make"}, "actor.network = 'my_package.nets:make', .*; allowed: mlp"),
  ],
)
def test_spectral_normalisation_of_what_has_none_is_one_line(options, words, monkeypatch):
  monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[1] / "outside")
  with pytest.raises(UserError, match=rf"config\.actor\.spectral_norm: True is not allowed with {words}"):
    setting(config_of("shac", actor={"layer_norm": False, "spectral_norm": True} | options))
