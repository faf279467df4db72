"""Measurements of single functions, each a program of its own: ``python -m bench.micro.NAME``."""
