"""HTTP: the server, its limits, request bodies and error responses."""
