"""Gradient-Informed Proximal Policy Optimization and its baselines in JAX."""

__version__ = "0.1.0"
