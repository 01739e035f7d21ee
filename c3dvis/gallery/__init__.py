"""Galleries: a clip for each filter and class of a network, in files that GitHub and browsers show.

`python -m c3dvis.gallery --help` is the way in; `c3dvis.gallery.make.make` is the same from Python.
"""
