"""Metrics: what Prometheus reads of a gateway, made when it asks."""
