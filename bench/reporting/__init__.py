"""What a run leaves behind: values, JSON, terminal table, HTML page."""
