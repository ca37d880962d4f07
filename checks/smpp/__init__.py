"""SMPP as the checks need it: a session bound for one message, and the reason a bind was refused."""
