"""Slack, or any server that speaks like it: what is heard there comes in, what must be said goes out."""
