"""The vocabulary of media: tracks, packets, timestamps, codecs."""
