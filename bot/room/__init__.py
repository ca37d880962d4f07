"""The embedded war room: a Slack-compatible server with its page."""
