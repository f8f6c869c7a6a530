"""Configuration files: each has `get_config(argument) -> ConfigDict`."""
