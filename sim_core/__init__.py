"""A multi-agent match simulation whose agents are ONNX policies served by onnxd.

It is the server's realistic client (thousands of small concurrent requests a tick, many models and versions,
reloads in the middle of a match) and a tool of its own: train a policy, drop it into the repository, play it
against the one before, and read from the replays whether it is better. It imports `onnxd_client` and nothing
else of ours.

    cli           the commands of `python -m sim_core`
    training      the shipped policies, by evolution strategies
    matches       playing them, counting and rating what comes of it
    policies      random, scripted, served
    arena         the rules, and legacy_rps those that came before
    replays       Parquet with JSON beside it, written and read
    game          what a game is to all of them
"""
