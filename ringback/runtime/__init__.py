"""How a process runs: settings, logs, health, shutdown, connections to broker and database."""
