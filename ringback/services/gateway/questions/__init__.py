"""Questions: events for which Vapi waits for an answer. The backend of an endpoint answers them."""
