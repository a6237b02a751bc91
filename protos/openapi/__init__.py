"""Makes the OpenAPI document of the REST API from the contract; a step of `make generate`."""
