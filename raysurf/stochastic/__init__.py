"""Weights that are noise: dropout, variational dropout and variance layers, for any network."""
