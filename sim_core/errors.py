"""What can go wrong in a simulation, each with a message that is one clear line.

SimulationError
├── BadReplay           a replay that is missing, broken, of another schema, or does not fit the others
├── BadPolicy           a policy that does not exist, or does not fit the game
└── ServerAway          nothing answers at the server's address
"""


class SimulationError(Exception):
    """The root: the command line shows its message and ends with exit code 1."""


class BadReplay(SimulationError):
    """The replay cannot be read, or not together with the others."""


class BadPolicy(SimulationError):
    """The policy does not exist, or does not fit the game."""


class ServerAway(SimulationError):
    """Nothing answers at the server's address; what was played before is kept."""
