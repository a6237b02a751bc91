"""What people change: a dead letter put to work again or discarded, processing paused."""
