"""Rehearsals: a stage with a room and a carrier, and people who play by a script."""
