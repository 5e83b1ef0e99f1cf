"""A multi-agent match simulation whose agents are ONNX policies served by onnxd.

It is the server's realistic client (thousands of small concurrent requests a tick, many models and versions,
reloads in the middle of a match) and a tool of its own: train a policy, drop it into the repository, play it
against the one before, and read from the replays whether it is better. It imports `onnxd_client` and nothing
else of ours. Arena, policies and scripts come with their own change; this package holds their place.
"""
