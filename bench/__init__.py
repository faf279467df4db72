"""Load generators and reports: ``python -m bench``."""
