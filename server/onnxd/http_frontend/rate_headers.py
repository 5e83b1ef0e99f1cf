"""What a caller with a limit of rate is told of it, as draft-ietf-httpapi-ratelimit-headers has it since its
tenth revision."""

import math

from onnxd.errors import Quota
from onnxd.security.rates import Left


def rate_headers(quota: Quota, requests: int, seconds: int) -> dict[str, str]:
    """`requests` that are left, for so many seconds."""
    return {
        "RateLimit-Policy": f'"rate";q={quota.requests};w={quota.window_s}',
        "RateLimit": f'"rate";r={requests};t={seconds}',
    }


def left_headers(left: Left) -> dict[str, str]:
    """Beside an answer to a request that was let in."""
    return rate_headers(left.quota, left.requests, max(1, math.ceil(left.full_in_s)))
