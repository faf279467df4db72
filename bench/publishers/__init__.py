"""RTMP publishers that replay one clip from one process."""
