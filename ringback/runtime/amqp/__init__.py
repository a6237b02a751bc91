"""Connections to RabbitMQ: sessions, publishing, topology and the management API."""
