"""Models that run on this machine: a catalogue, an installer, one worker process per model, and its supervisor.

Import the parts by name (`afterbay.local.catalog`, `.install`, `.process`); nothing heavy is loaded before a worker
starts.
"""
