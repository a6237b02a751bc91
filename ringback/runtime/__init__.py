"""How a process of ours lives: settings, logs, health, shutdown, links to broker and database."""
