"""Publishing to RabbitMQ with confirms."""
