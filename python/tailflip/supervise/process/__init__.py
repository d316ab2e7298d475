"""Hands on the process of the gateway: start it, take it over, stop it, hear it."""
