"""The problems of the paper's tables, with the numbers it prints and what the authors' code costs."""

from typing import NamedTuple


class Problem(NamedTuple):
  """One row of a table.

  Attributes:
    argument: of the configuration file.
    paper: the paper's mean of the best returns, by algorithm.
    reference_seconds: time of the authors' PyTorch for one run of 2000 epochs on one thread of a machine like the one
      the benchmarks of this project were made on, by algorithm.
  """

  argument: str
  paper: dict[str, float]
  reference_seconds: dict[str, float]


# Paper: Table 1. The digits beyond the printed ones are from the authors' result files.
FUNCTIONS = {
  "dejong1": Problem(
    "dejong1",
    {"lr": -1.2456e-06, "rp": -1.4185e-08, "ppo": -5.2068e-05, "lrp": -6.3580e-08, "gippo": -3.8378e-10},
    {"gippo": 171.0},
  ),
  "dejong64": Problem(
    "dejong64",
    {"lr": -7.3780e-04, "rp": -9.2831e-07, "ppo": -1.0768e-03, "lrp": -3.0529e-06, "gippo": -1.0404e-06},
    {"gippo": 344.0, "ppo": 96.0, "rp": 80.0, "lr": 76.0, "lrp": 96.0},
  ),
  "ackley1": Problem(
    "ackley1", {"lr": -1.2772, "rp": -0.48215, "ppo": -0.24889, "lrp": -1.2255, "gippo": -5.2389e-04}, {}
  ),
  "ackley64": Problem(
    "ackley64",
    {"lr": -0.63782, "rp": -8.9449e-03, "ppo": -0.13761, "lrp": -3.2602e-02, "gippo": -3.6001e-03},
    {"gippo": 166.0, "ppo": 94.0, "rp": 131.0, "lr": 131.0, "lrp": 182.0},
  ),
}
