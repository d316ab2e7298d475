"""The gateway's session stores: find, judge, compact and restore them. No room above opens one."""
