"""PIPPS: policy search on a learned model, by particles (Parmas et al., ICML 2018)."""
