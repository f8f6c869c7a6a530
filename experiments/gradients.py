"""Quality of the analytic gradients: `python -m experiments.gradients FAMILY [--out=FILE.json] [--docs=docs]`.

`traffic`: against finite differences of the expected return (`measurements.gradients_traffic`). `physics`: how they
grow with the horizon on each simulator, and what GI-PPO's rule sees of their variance
(`measurements.gradients_physics`).
"""

from collections.abc import Sequence

from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements import gradients_physics, gradients_traffic
from gippo_jax.programs.devices import configure_jax

_OUT = flags.DEFINE_string("out", None, "File for the figures as JSON; the physics pictures go beside it.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder that is renewed.")
_DRAWS = flags.DEFINE_integer(
  "draws", 1024, "traffic: noise draws for each start state; an even number.", lower_bound=2
)
_STATES = flags.DEFINE_integer("states", 32, "traffic: start states.", lower_bound=1)
_HORIZONS = flags.DEFINE_list("horizons", ["8", "32", "128"], "traffic: steps.")
_QUICK = flags.DEFINE_bool("quick", False, "physics: the closed-form cart-pole alone, in about a minute.")


def main(arguments: Sequence[str]) -> int:
  """Measures one family."""
  family = " ".join(arguments[1:])
  if family == "traffic":
    if _DRAWS.value % 2 or not all(horizon.isdigit() and int(horizon) > 0 for horizon in _HORIZONS.value):
      raise UserError("--draws, --horizons: allowed: an even number, and integers >= 1")
    horizons = [int(horizon) for horizon in _HORIZONS.value]
    gradients_traffic.report(horizons, _STATES.value, _DRAWS.value, _OUT.value, _DOCS.value)
  elif family == "physics":
    if _QUICK.value and _DOCS.value:
      raise UserError("--quick: not with --docs, which holds the full figures; allowed: --out")
    configure_jax(1)
    gradients_physics.report(_QUICK.value, _OUT.value, _DOCS.value)
  else:
    raise UserError(
      f"python -m experiments.gradients: {family or 'nothing'!r} is not a family of environments; "
      "allowed: traffic, physics"
    )
  return 0


if __name__ == "__main__":
  console(main)
