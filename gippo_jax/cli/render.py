"""`python -m gippo_jax render`."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

if TYPE_CHECKING:
  from gippo_jax.envs.base import Renderable, Trajectory

FLAGS = Flags(
  "render",
  """
Shows a trained policy: python -m gippo_jax render --workdir=DIR --out=rollout.html (or .gif, or .png)

The page holds the episode; open it in any browser. Pages of Brax's systems fetch their viewer from the network.""",
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the run.")
_OUT = FLAGS.text("out", "rollout.html", "File to write: .html (a page), .gif (moving), .png (one frame).")
_SEED = FLAGS.integer("seed", None, "Which of the run's seeds; the one of best evaluation by default.")
_EPISODE = FLAGS.integer("episode", 0, "Draws another start (and other noise) for each number.")
_POLICY = FLAGS.choice("policy", "best", ["best", "final"], "The run's best policy, or its last.")
_EXPLORE = FLAGS.switch("explore", False, "Draw actions from the policy instead of taking its mean.")
_SECONDS = FLAGS.real("seconds", 10.0, "Length of a .gif: the episode is sped up or slowed down.", 1)
_FRAME = FLAGS.real("at", 0.5, "Moment of a .png, as a share of the episode.", 0, 1)

_GIF_FRAMES_PER_SECOND = 12


def save_gif(env: "Renderable", trajectory: "Trajectory", seconds: float, path: pathlib.Path) -> None:
  """Draws frames evenly over the episode."""
  import numpy as np
  from matplotlib.animation import PillowWriter
  from matplotlib.figure import Figure

  count = min(len(trajectory.rewards) + 1, round(seconds * _GIF_FRAMES_PER_SECOND))
  figure = Figure(figsize=env.figure_size, layout="constrained")
  writer = PillowWriter(fps=_GIF_FRAMES_PER_SECOND)
  with writer.saving(figure, str(path), dpi=80):
    for step in np.linspace(0, len(trajectory.rewards), count).astype(int):
      figure.clear()
      env.draw(figure.subplots(), trajectory, int(step))
      writer.grab_frame()


def save_frame(env: "Renderable", trajectory: "Trajectory", share: float, path: pathlib.Path) -> None:
  """Draws one frame."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=env.figure_size, layout="constrained")
  env.draw(figure.subplots(), trajectory, round(share * len(trajectory.rewards)))
  figure.savefig(path, dpi=120)


def main(words: Sequence[str]) -> int:
  """Plays an episode and writes it."""
  del words
  out = pathlib.Path(_OUT.value).expanduser()
  if out.suffix not in (".html", ".gif", ".png"):
    raise UserError(f"--out: {str(out)!r} is not a kind of picture; allowed: a name that ends in .html, .gif or .png")
  if _WORKDIR.value is None:
    raise UserError("--workdir is missing; allowed: the folder of a run")
  from gippo_jax.programs.devices import configure_jax

  configure_jax(1)
  import jax

  from gippo_jax.envs.base import Renderable
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.files import write_text
  from gippo_jax.runs.playback import play
  from gippo_jax.runs.stored import choose_seed, load_policy, open_run

  run = open_run(_WORKDIR.value)
  env = make_environment(run.experiment.env)
  if not isinstance(env, Renderable):
    raise UserError(f"--workdir: {type(env).__name__} cannot be drawn; allowed: environments with page() and draw()")
  seed = choose_seed(run.workdir, _SEED.value, _POLICY.value)
  policy = load_policy(run.workdir.path, seed, _POLICY.value)
  trajectory = play(policy, env, jax.random.key(_EPISODE.value), _EXPLORE.value)
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".html":
      write_text(out, env.page(trajectory, f"{run.experiment.config.algorithm}, seed {seed}, {run.workdir.path.name}"))
    elif out.suffix == ".gif":
      save_gif(env, trajectory, _SECONDS.value, out)
    else:
      save_frame(env, trajectory, _FRAME.value, out)
  except OSError as error:
    raise UserError(f"--out: {out} cannot be written ({error.strerror}); allowed: a file you may write") from None
  steps = len(trajectory.rewards)
  print(f"{out}: {steps} steps, return {float(trajectory.rewards.sum()):.6g}, seed {seed}")
  return 0
