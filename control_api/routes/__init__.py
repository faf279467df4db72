"""One module per noun: the rows of its routes and their handlers."""
