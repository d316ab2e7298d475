"""Put tailflip in front of, around or beside a gateway's service; and take it away again."""
