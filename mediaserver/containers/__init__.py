"""MediaPackets to container bytes and back, without I/O."""
