"""Processes of commands: started, heard, ended, and found again wherever they went."""
