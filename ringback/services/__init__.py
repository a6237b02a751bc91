"""The three processes: gateway, processor, metrics. They share `ringback`, never each other."""
