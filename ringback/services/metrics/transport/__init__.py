"""The gRPC server, the REST server, and the dispatcher that runs their calls."""
