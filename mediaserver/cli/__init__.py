"""The command line: ``arguments`` says what can be typed, the other modules do it."""
