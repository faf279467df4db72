"""Loading the HTTP API: the population of a seeded database, and an open-loop generator of mixed traffic."""
