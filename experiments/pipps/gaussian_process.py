"""Exact Gaussian-process regression, one process for each output, on a data set of fixed size.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006: predictions Eq. 2.25 and 2.26, the likelihood
Eq. 2.30. The kernel is the squared exponential with a lengthscale for each input (Eq. 5.1). Rows that are not used have
unit variance, no covariance and the target 0, so that they change nothing and one program serves a growing data set.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gippo_jax.errors import UserError

# Of the signal's variance; what is added to the diagonal at first, the factor by which it is raised, and how often.
JITTER = 1e-6
_RAISE = 10.0
_MOST_RAISES = 5
_NOISE_FLOOR = 1e-6
_HALF_LOG_TWO_PI = 0.9189385332046727


class Data(NamedTuple):
  """A data set.

  Attributes:
    inputs: `X`, `[M, E]`.
    targets: `Y`, `[M, D]`.
    used: 1 for the rows that are data, else 0, `[M]`.
  """

  inputs: jax.Array
  targets: jax.Array
  used: jax.Array


class Hyperparameters(NamedTuple):
  """Of the `D` processes.

  Attributes:
    log_lengthscales: `[D, E]`.
    log_signal: logarithm of the signal's variance, `[D]`.
    log_noise: logarithm of the noise's variance above the floor of 1e-6, `[D]`.
  """

  log_lengthscales: jax.Array
  log_signal: jax.Array
  log_noise: jax.Array

  @property
  def noise(self) -> jax.Array:
    """Variance of the noise, `[D]`."""
    return _NOISE_FLOOR + jnp.exp(self.log_noise)


class Model(NamedTuple):
  """Processes conditioned on data.

  Attributes:
    inputs: `X`, `[M, E]`.
    hyperparameters: of the processes.
    coefficients: `(K + noise)^-1 y`, `[D, M]`.
    inverse: `(K + noise)^-1`, zero where a row is not used, `[D, M, M]`.
    jitter_raises: how often the jitter had to be raised, `[D]`.
  """

  inputs: jax.Array
  hyperparameters: Hyperparameters
  coefficients: jax.Array
  inverse: jax.Array
  jitter_raises: jax.Array


class Prediction(NamedTuple):
  """Of `N` inputs.

  Attributes:
    mean: `[N, D]`.
    log_std: of the target, its noise included, `[N, D]`.
    mean_slope: derivative of the mean by the input, `[N, D, E]`.
    log_std_slope: `[N, D, E]`.
  """

  mean: jax.Array
  log_std: jax.Array
  mean_slope: jax.Array
  log_std_slope: jax.Array


def pad(inputs: np.ndarray, targets: np.ndarray, size: int) -> Data:
  """A data set of `size` rows of which the first are `inputs` `[n, E]` and `targets` `[n, D]`.

  Raises:
    UserError: for numbers that are not finite.
  """
  if not (np.all(np.isfinite(inputs)) and np.all(np.isfinite(targets))):
    raise UserError("data of the Gaussian process: not all numbers are finite; allowed: finite numbers")
  missing = [(0, size - len(inputs)), (0, 0)]
  used = np.arange(size) < len(inputs)
  used = jnp.asarray(used, inputs.dtype)
  return Data(jnp.asarray(np.pad(inputs, missing)), jnp.asarray(np.pad(targets, missing)), used)


def initial_hyperparameters(data: Data) -> Hyperparameters:
  """Where the search begins: lengthscales of a standard deviation of the inputs, a tenth of its
  standard deviation as noise."""
  count = jnp.sum(data.used)

  def variance(rows):
    mean = data.used @ rows / count
    return data.used @ (rows - mean[None]) ** 2 / count + _NOISE_FLOOR

  num_outputs = data.targets.shape[1]
  lengthscales = 0.5 * jnp.log(variance(data.inputs))
  log_signal = jnp.log(variance(data.targets))
  return Hyperparameters(jnp.tile(lengthscales[None], (num_outputs, 1)), log_signal, log_signal - jnp.log(100.0))


def _covariance(log_lengthscales: jax.Array, log_signal: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
  """`s^2 exp(-|(a - b) / l|^2 / 2)` of one process; `[A, E], [B, E] -> [A, B]`."""
  scale = jnp.exp(-log_lengthscales)[None]
  left, right = left * scale, right * scale
  squares = jnp.sum(left**2, axis=1)[:, None] + jnp.sum(right**2, axis=1)[None] - 2.0 * left @ right.T
  return jnp.exp(log_signal - 0.5 * jnp.maximum(squares, 0.0))


def _gram(hyperparameters: Hyperparameters, data: Data, jitter: jax.Array) -> jax.Array:
  """`K + (noise + jitter s^2) I` of one process, the rows that are not used as the module says; `[M, M]`."""
  log_signal = hyperparameters.log_signal
  covariance = _covariance(hyperparameters.log_lengthscales, log_signal, data.inputs, data.inputs)
  diagonal = data.used * (hyperparameters.noise + jitter * jnp.exp(log_signal)) + (1.0 - data.used)
  return data.used[:, None] * covariance * data.used[None] + jnp.diag(diagonal)


def log_likelihood(hyperparameters: Hyperparameters, data: Data) -> jax.Array:
  """Log marginal likelihood of each output, `[D]`; NaN where the kernel matrix is not positive definite."""

  def of_one(hyperparameters, target):
    factor = jnp.linalg.cholesky(_gram(hyperparameters, data, jnp.asarray(JITTER, target.dtype)))
    whitened = jax.scipy.linalg.solve_triangular(factor, data.used * target, lower=True)
    return -0.5 * jnp.sum(whitened**2) - jnp.sum(jnp.log(jnp.diagonal(factor))) - jnp.sum(data.used) * _HALF_LOG_TWO_PI

  return jax.vmap(of_one, in_axes=(0, 1))(hyperparameters, data.targets)


def fit(data: Data, start: Hyperparameters, num_steps: int = 100, learning_rate: float = 0.1) -> Hyperparameters:
  """Ascends the marginal likelihood by Adam and returns the best that was met, output by output."""
  optimizer = optax.adam(learning_rate)

  def total(hyperparameters):
    found = log_likelihood(hyperparameters, data)
    return -jnp.sum(found), found

  def step(carry, _):
    current, moments, best, best_likelihood = carry
    gradient, found = jax.grad(total, has_aux=True)(current)
    better = found > best_likelihood  # not where it is no number
    best = jax.tree.map(lambda new, old: jnp.where(_like(better, new), new, old), current, best)
    gradient = jax.tree.map(jnp.nan_to_num, gradient)
    # optax mixes types, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
      updates, moments = optimizer.update(gradient, moments)
    current = jax.tree.map(jnp.add, current, updates)
    return (current, moments, best, jnp.maximum(best_likelihood, jnp.where(better, found, -jnp.inf))), None

  worst = jnp.full_like(start.log_signal, -jnp.inf)
  (_, _, best, _), _ = jax.lax.scan(step, (start, optimizer.init(start), start, worst), length=num_steps + 1)
  return best


def _like(flags: jax.Array, leaf: jax.Array) -> jax.Array:
  return flags.reshape(-1, *[1] * (leaf.ndim - 1))


def condition(hyperparameters: Hyperparameters, data: Data) -> Model:
  """The processes given the data; a matrix that is not positive definite gets ten times the jitter, up to five times.

  Where that does not help either the model is no number: `require_positive_definite` says so.
  """

  def of_one(hyperparameters, target):
    def factor(raises):
      jitter = JITTER * _RAISE ** raises.astype(target.dtype)
      return jnp.linalg.cholesky(_gram(hyperparameters, data, jitter))

    def fails(carry):
      raises, found = carry
      return ~jnp.all(jnp.isfinite(found)) & (raises < _MOST_RAISES)

    raises = jnp.zeros((), jnp.int32)
    raises, found = jax.lax.while_loop(
      fails, lambda carry: (carry[0] + 1, factor(carry[0] + 1)), (raises, factor(raises))
    )
    inverse = jax.scipy.linalg.cho_solve((found, True), jnp.diag(data.used))
    inverse = data.used[:, None] * inverse
    return inverse @ target, inverse, raises

  found = jax.vmap(of_one, in_axes=(0, 1))(hyperparameters, data.targets)
  return Model(data.inputs, hyperparameters, *found)


def require_positive_definite(model: Model) -> None:
  """Ends where no jitter helped.

  Raises:
    UserError: naming the output.
  """
  failed = np.flatnonzero(~np.all(np.isfinite(np.asarray(model.coefficients)), axis=1))
  if failed.size:
    raise UserError(
      f"kernel matrix of output {failed[0]}: not positive definite, also with a jitter of "
      f"{JITTER * _RAISE**_MOST_RAISES:g} times the signal's variance; allowed: data for which it is"
    )


def predict(model: Model, inputs: jax.Array) -> Prediction:
  """Mean, standard deviation and their derivatives by the input, `[N, E]`; the model is held fixed.

  All come from the same two products with the kernel, so that going back through a prediction costs no further ones.
  """

  def of_one(hyperparameters, coefficients, inverse):
    kernel = _covariance(hyperparameters.log_lengthscales, hyperparameters.log_signal, inputs, model.inputs)
    solved = kernel @ inverse
    explained = jnp.sum(kernel * solved, axis=1)
    signal = jnp.exp(hyperparameters.log_signal)
    variance = jnp.maximum(signal - explained, 0.0) + hyperparameters.noise
    by_square = jnp.exp(-2.0 * hyperparameters.log_lengthscales)[None]

    def slope(weights):
      # The derivative of the kernel by the input is `k (x - z) / l^2`.
      weighted = kernel * weights
      return (weighted @ model.inputs - jnp.sum(weighted, axis=1, keepdims=True) * inputs) * by_square

    variance_slope = jnp.where((explained < signal)[:, None], -2.0 * slope(solved), 0.0)
    return Prediction(
      kernel @ coefficients,
      0.5 * jnp.log(variance),
      slope(coefficients[None]),
      0.5 * variance_slope / variance[:, None],
    )

  of_all = jax.vmap(of_one, out_axes=1)
  return of_all(model.hyperparameters, model.coefficients, model.inverse)
