"""The RTMP core without I/O: bytes in, events and bytes out."""
