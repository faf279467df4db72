"""The built-in test pattern, published through the real RTMP port like any encoder's stream."""

from mediaserver.demo.publisher import publish_test_pattern

__all__ = ["publish_test_pattern"]
