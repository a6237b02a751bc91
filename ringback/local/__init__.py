"""The embedded stack: a private RabbitMQ and PostgreSQL, and the three services beside them."""
