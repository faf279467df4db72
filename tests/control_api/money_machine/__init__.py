"""One state machine over all that moves money, its rules by what they are about."""
