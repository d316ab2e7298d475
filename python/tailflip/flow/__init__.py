"""The values that cross rooms, in the order they are made. Read these files first.

    observed  what was seen of an installation
    numbers   what the engine tells of a store
    outcomes  what is concluded and done
    conditions  what was concluded about jobs and lives, before it is told
    findings  what is told to be wrong, and the codes of all that can be
    lives     a gateway's lives and deaths, and what is decided about them
    values    what all of them have in common

Sizes are bytes, `_ms` is milliseconds since the epoch or a length in milliseconds, `_s` seconds.
Models whose docstring says *native* are parsed from what the Rust extension returns.
"""
