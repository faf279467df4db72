"""What a run measures about machine, server and itself."""
