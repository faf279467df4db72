"""What may be said in a room, and what those who look after it may do."""
