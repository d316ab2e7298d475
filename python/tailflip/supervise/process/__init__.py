"""The process of the gateway: start it, take it over, stop it, read its standard error."""
