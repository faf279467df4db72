"""One module per command, and the registry that lists them."""
