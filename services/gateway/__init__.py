"""Takes webhooks, has each on the broker's disk before it answers, and touches nothing else."""
