"""Viewers that parse just enough."""
