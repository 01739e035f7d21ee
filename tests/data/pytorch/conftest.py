"""Keeps pytest, which looks into every module for examples, from importing PyTorch."""

collect_ignore = ["make.py"]
