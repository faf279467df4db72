"""Delivery: how container bytes reach viewers."""
