"""Switchroom: the war room of a telecom migration."""

__version__ = "0.1.0"
