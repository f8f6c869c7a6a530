"""Traffic configurations and commands."""

import jax
import jax.numpy as jnp
import pytest

from gippo_jax import envs
from gippo_jax.envs.traffic import PaceCar
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import traffic
from gippo_jax.experiments.measurements import timing, traffic_bias
from gippo_jax.experiments.speed import traffic as traffic_speed
from gippo_jax.parsing import parse


@pytest.mark.parametrize(
  ("argument", "lanes", "vehicles"),
  [("pace_car_1", 1, 1), ("pace_car_2", 2, 4), ("pace_car_3", 3, 9), ("pace_car_4", 4, 16), ("pace_car_10", 10, 10)],
)
def test_pace_car_configurations_are_the_papers(argument, lanes, vehicles):
  experiment = parse(traffic.get_config(argument))
  env = envs.make(**experiment.env)
  assert (env.num_lanes, env.num_vehicles, env.lane_membership) == (lanes, vehicles, "hard")
  config = experiment.config
  assert config.num_envs * config.horizon * config.num_epochs == 1_024_000
  assert (config.actor.units, config.critic.units) == ((512, 64, 64), (64, 64))
  assert (config.alpha.initial, config.alpha.learning_rate, config.ppo.learning_rate) == (0.1, 1e-5, 3e-4)
  assert (config.alpha.update_factor, config.alpha.determinant_interval) == (1.1, 0.4)
  assert (config.alpha.max_out_of_range_ratio, config.ppo.num_passes, config.ppo.minibatch_size) == (0.5, 5, 2048)
  assert not config.normalize_values


def test_the_ring_can_be_configured():
  assert envs.make(**parse(traffic.get_config("ring")).env).num_vehicles == 22


def test_a_road_of_ones_own():
  env = envs.make(**parse(traffic.get_config("pace_car_5x3")).env)
  assert (env.num_lanes, env.vehicles_per_lane) == (5, 3)
  with pytest.raises(ValueError, match=r"env.num_lanes: 0 is not allowed; allowed: an integer >= 1"):
    envs.make(**parse(traffic.get_config("pace_car_0x3")).env)


def test_an_algorithm_brings_its_own_settings():
  config = parse(traffic.get_config("pace_car_2,rp")).config
  assert (config.algorithm, config.actor.fixed_std, config.rp.gae_lambda) == ("rp", True, 1.0)
  assert not parse(traffic.get_config("pace_car_2,lrp")).config.actor.fixed_std


def test_unknown_problems_are_refused():
  with pytest.raises(UserError, match=r"traffic\.py:pace_car_5: no such problem; known: pace_car_1, .*ring"):
    traffic.get_config("pace_car_5")


def test_a_program_is_timed(monkeypatch):
  monkeypatch.setattr(timing, "_SECONDS_PER_TIMING", 0.0)
  with jax.numpy_dtype_promotion("standard"):
    forward, _, state, actions = traffic_speed.prepare("a", num_envs=2, horizon=3)
  program = forward.compile()
  (seconds,) = timing.seconds_per_call([lambda: program(actions, state)])
  assert 0.0 < seconds < 1.0
  assert program(actions, state)[0].shape == ()


def test_the_score_function_agrees_with_the_gradient_where_nothing_jumps():
  env = PaceCar("a")
  state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2))
  car = state.physics.pace_car
  moving = state.replace(physics=state.physics.replace(pace_car=car._replace(speed=car.speed + 3.0)))
  shifts = 0.1 * traffic_bias.normal_quantiles(400)
  actions = jnp.full((2, 6, 2), 0.3)
  score, gradient = (
    jnp.mean(traffic_bias.slopes(env, moving, actions, shifts, analytic), axis=0) for analytic in (False, True)
  )
  # The shifts are a tenth of what the score function divides by.
  assert jnp.allclose(score, 0.01 * gradient, rtol=0.02)
  assert jnp.all(jnp.abs(gradient) > 1e-9)
