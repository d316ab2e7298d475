"""The gateway's session stores: find, judge, compact and restore them. Nothing above opens one."""
