"""Who asks: tokens, cookie sessions, and what guards them."""
