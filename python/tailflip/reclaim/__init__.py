"""Gives room on the disk back: what OpenClaw leaves behind, each file with its proof.

A file goes only if its name has a known form, and all that this form asks for is proven. What is
not known stays. History is never deleted: it is packed into an archive, and can be put back.
"""
