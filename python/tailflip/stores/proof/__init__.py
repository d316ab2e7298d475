"""Proof of life or death about a store's entries, gathered from all records before judging."""
