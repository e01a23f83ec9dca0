"""Processes of commands: started, heard, ended, and found again wherever they went.

Not here: what a command means.
"""
