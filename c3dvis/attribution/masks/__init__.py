"""Masks of pixels, optimised so that what they show or hide decides the class."""
