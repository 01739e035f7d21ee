"""Clips that excite a unit of a network."""

from c3dvis.maximize.maximizer import Made, Maximizer, maximize
from c3dvis.maximize.scores import scores
from c3dvis.maximize.tempo import SlowToFast, slow_to_fast

__all__ = ["Made", "Maximizer", "SlowToFast", "maximize", "scores", "slow_to_fast"]
