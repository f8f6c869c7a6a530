"""rejax's PPO, as `experiments.peers` runs it; imports rejax, under the peers' interpreter."""

# rejax is in the peers' environment alone.
# pyright: reportMissingImports=false

from collections.abc import Callable

import jax
import jax.numpy as jnp
from rejax import PPO
from rejax.evaluate import evaluate

from gippo_jax.experiments.peers.lines import Clock, Event, Finished, Request, Segment, versions_of
from gippo_jax.experiments.peers.problems import HIDDEN, HORIZON, MINIBATCH_SIZE, NUM_ENVS, NUM_PASSES, STEPS_PER_EPOCH


def train(request: Request, emit: Callable[[Event], None]) -> None:
  """Trains the request's seeds, one after the other, by rejax's own `train_iteration`."""
  algorithm = PPO.create(
    env=request.environment.removeprefix("gymnax:"),
    agent_kwargs={"hidden_layer_sizes": HIDDEN},
    num_envs=NUM_ENVS,
    num_steps=HORIZON,
    num_epochs=NUM_PASSES,
    num_minibatches=STEPS_PER_EPOCH // MINIBATCH_SIZE,
    total_timesteps=request.epochs * STEPS_PER_EPOCH,
    **request.settings,
  )
  chunk = request.epochs // request.checkpoints
  space = algorithm.action_space

  @jax.jit
  def mean_return(state, key):
    def act(obs, rng):  # the mean of the Gaussian, within the bounds; rejax's own evaluation draws
      del rng
      if algorithm.normalize_observations:
        obs = algorithm.normalize_obs(state.obs_rms_state, obs)
      mean = algorithm.actor.apply(state.actor_ts.params, obs[None], method="_action_dist").mean()
      return jnp.clip(jnp.squeeze(mean), space.low, space.high)

    return evaluate(act, key, algorithm.env, algorithm.env_params, request.episodes, request.episode_length)[1].mean()

  begin = Clock.now()
  init = jax.jit(algorithm.init_state)
  state = init(jax.random.PRNGKey(0))
  advance = jax.jit(
    lambda state: jax.lax.fori_loop(0, chunk, lambda _, state: algorithm.train_iteration(state), state),
    donate_argnums=0,
  )
  compiled = advance.lower(state).compile()
  compile_seconds: float | None = Clock.now().since(begin).cpu

  gradient_steps = NUM_PASSES * STEPS_PER_EPOCH // MINIBATCH_SIZE  # of each network
  for seed in request.seeds:
    train_key, evaluation_key = jax.random.split(jax.random.PRNGKey(seed))
    state = init(train_key)
    emit(Segment(seed, 0, 0.0, 0.0, float(mean_return(state, evaluation_key)), 0.0, 0.0))
    for index in range(1, request.checkpoints + 1):
      begin = Clock.now()
      state = jax.block_until_ready(compiled(state))
      passed = Clock.now().since(begin)
      done = index * chunk
      mean = float(mean_return(state, jax.random.fold_in(evaluation_key, index)))
      steps = float(done * gradient_steps)
      emit(Segment(seed, done * STEPS_PER_EPOCH, *passed, mean, steps, steps))
    emit(Finished(seed, compile_seconds, versions_of("jax", "jaxlib", "flax", "rejax", "gymnax")))
    compile_seconds = None
