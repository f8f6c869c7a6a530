"""Trained policies in forms that run without this package; one module for each form, `formats.py` names them."""
