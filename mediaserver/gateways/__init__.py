"""Gateways: protocol sessions mapped to the hub."""
