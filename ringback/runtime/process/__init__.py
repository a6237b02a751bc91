"""How a process starts and ends: settings, signals, deadlines."""
