"""The control API: one routes module, one service and one repository per noun."""
