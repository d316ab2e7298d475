"""Hands on the gateway's process: start, stop, take over; and when to do it."""
