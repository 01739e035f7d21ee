"""Reverse: a mask of the frames that decide; reversing them lowers the probability of the class.

Mänttäri et al. 2020, "Interpreting Video Features: a Comparison of 3D Convolutional Networks and
Convolutional LSTM Networks", https://arxiv.org/abs/2002.00367. They optimise masks for freezing
alone and then reverse the clip by them; here the mask is optimised for reversal. Other departures
are those of `freeze`.
"""

from c3dvis.attribution.temporal import search

attribute = search.method("reverse")
