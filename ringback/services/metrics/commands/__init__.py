"""AdminService: calls that change something."""
