"""The clip that publishers replay and the stamps that viewers find in it."""
