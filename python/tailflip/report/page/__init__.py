"""The page: what a person's browser and Prometheus are shown, by a server that changes nothing."""
