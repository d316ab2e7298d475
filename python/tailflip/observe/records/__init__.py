"""Observation of the gateway's records: cron, run logs, tasks, sub-agents, receipts."""
