"""Pure mathematics over arrays: rollouts, advantages, networks, optimisation."""
