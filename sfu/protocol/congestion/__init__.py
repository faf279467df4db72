"""Congestion control of one transport, after Google's (draft-ietf-rmcat-gcc-02), without I/O.

All times are integer microseconds of a monotonic clock, all rates integer bits per second.
"""
