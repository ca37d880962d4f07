"""What people read: texts, Block Kit and digests, made from state alone."""
