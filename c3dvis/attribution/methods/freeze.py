"""Freeze: a mask of the frames that decide; freezing them lowers the probability of the class.

Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks and
Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367. Departures: the start, the best mask
in place of the last, a binary mask, and TV as one sum, whose gradient is finite at 0.
"""

from c3dvis.attribution.temporal import search

attribute = search.method("freeze")
