"""What ends a server of several workers."""


class WorkersFailed(Exception):
    """Workers cannot be started, or die again and again. For the operator: the message has the reason."""
