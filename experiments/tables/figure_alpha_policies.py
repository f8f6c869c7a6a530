"""Alpha-policies in one dimension (the paper's Figure 1), by Definition 4.1 and nothing else.

Under `f(a) = a + alpha A'(a)` the density becomes `pi_alpha(f(a)) = pi(a) / |1 + alpha A''(a)|`, valid as long as `f`
is injective, that is `1 + alpha A'' > 0`. Beyond that alpha the picture shows where `f` folds.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.envs.functions import FUNCTIONS

# Function, mean and standard deviation of the policy, alphas. The action is the function's own coordinate.
_PANELS = (
  ("dejong", "De Jong", 1.0, 0.3, (0.0, 0.1, 0.2, 0.3)),
  ("ackley", "Ackley", 1.0, 0.3, (0.0, 2e-3, 6e-3, 2e-2)),
)
_COLORS = ("#000000", "#0072B2", "#009E73", "#D55E00")


def draw_alpha_policies() -> Figure:
  """Upper row: advantage and densities. Lower row: `1 + alpha A''`, which must stay positive."""
  figure = Figure(figsize=(10, 6.4), layout="constrained")
  axes = figure.subplots(2, 2, sharex="col", height_ratios=(2, 1))
  for column, (name, title, mean, std, alphas) in enumerate(_PANELS):
    _draw(axes[0, column], axes[1, column], name, title, mean, std, alphas)
  return figure


def alpha_policy(
  advantage: Callable[[jax.Array], jax.Array], mean: float, std: float, alpha: float, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Image and density of a Gaussian policy under Definition 4.1.

  Args:
    advantage: `A(a)` of a scalar action.
    mean: of the policy.
    std: of the policy.
    alpha: step along the gradient.
    actions: where the policy is looked at, `[M]`.

  Returns:
    `f(a)`, its density under the alpha-policy, and the Jacobian `1 + alpha A''(a)`; each `[M]`.
  """
  slope = jax.vmap(jax.grad(advantage))(jnp.asarray(actions))
  curvature = jax.vmap(jax.grad(jax.grad(advantage)))(jnp.asarray(actions))
  jacobian = 1.0 + alpha * np.asarray(curvature)
  density = np.exp(-0.5 * ((actions - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
  return actions + alpha * np.asarray(slope), density / np.abs(jacobian), jacobian


def _draw(upper: Axes, lower: Axes, name, title, mean, std, alphas) -> None:
  function = FUNCTIONS[name].value

  def advantage(action):
    return -function(action[None])

  actions = np.linspace(mean - 4.0 * std, mean + 4.0 * std, 4001)
  for alpha, color in zip(alphas, _COLORS, strict=True):
    image, density, jacobian = alpha_policy(advantage, mean, std, alpha, actions)
    valid = jacobian.min() > 0.0
    label = "the policy (alpha = 0)" if alpha == 0.0 else f"alpha = {alpha:g}{'' if valid else ': folds, no density'}"
    shown = np.where(jacobian > 0.0, density, np.nan)
    upper.plot(image, shown, color=color, linewidth=1.5, label=label, linestyle="-" if valid else (0, (2, 1)))
    if alpha:
      lower.plot(actions, jacobian, color=color, linewidth=1.3, linestyle="-" if valid else (0, (2, 1)))
      lower.fill_between(actions, jacobian, 0.0, where=jacobian <= 0.0, color=color, alpha=0.3, linewidth=0)
  drawn = [np.asarray(line.get_ydata(), float) for line in upper.lines[:3]]
  height = 1.7 * max(values[np.isfinite(values)].max() for values in drawn)
  upper.set_ylim(0.0, height)
  upper.set_xlim(actions[0], actions[-1])
  upper.set_title(f"{title}, policy N({mean:g}, {std:g}²)")
  upper.set_ylabel("density")
  twin = upper.twinx()
  values = np.asarray(jax.vmap(advantage)(jnp.asarray(actions)))
  twin.plot(actions, values, color="#999999", linewidth=1.0, linestyle="--")
  twin.set_ylim(top=0.4 * -values.min())
  twin.set_ylabel("advantage (dashed grey)", color="#666666")
  upper.legend(framealpha=1.0, edgecolor="none", fontsize="small", loc="upper right")
  lower.axhline(0.0, color="#666666", linewidth=0.8)
  lower.set_ylabel("1 + alpha A''(a)")
  lower.set_xlabel("action a")
  lower.grid(alpha=0.3)
