"""One module per noun: its rules and transactions, knowing nothing of HTTP."""
