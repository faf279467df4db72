"""Payload formats: what forwarding must know of each codec's packets."""
