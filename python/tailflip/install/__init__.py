"""Installation: puts tailflip in front of, around or beside a gateway's service, and removes it."""
