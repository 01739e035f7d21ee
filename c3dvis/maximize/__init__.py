"""Clips that excite a unit of a network."""

from c3dvis.maximize.maximizer import Made, Maximizer, maximize
from c3dvis.maximize.scores import scores

__all__ = ["Made", "Maximizer", "maximize", "scores"]
