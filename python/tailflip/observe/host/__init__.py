"""What the machine knows: service definitions, the journal, reports, room on disks."""
