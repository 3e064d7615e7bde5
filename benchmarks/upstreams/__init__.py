"""How fast each kind of upstream empties the outbox, beside its own client library alone."""
