"""What the gateway's records say: cron, run logs, tasks, sub-agents, receipts."""
