"""How calls come in, by gRPC and by REST, and how their answers and errors go out."""
