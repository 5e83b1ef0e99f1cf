"""What an error of the library means, and that nothing it quotes is told."""

import pytest
from obstore import exceptions

from onnxd.repository.object_store.faults import REASONS, UnsafeKey, told
from onnxd.repository.object_store.url import SCHEMES, ObjectUrl

URL = ObjectUrl("s3", "models", "a")
QUOTED = "AKIAIOSFODNN7EXAMPLE-and-a-signature"


def answer(status: int, code: str) -> str:
    return (
        f"Generic S3 error: Error performing GET http://127.0.0.1:1/models?X-Amz-Signature={QUOTED} in 3ms - "
        f"Server returned non-2xx status code: {status} : <Error><Code>{code}</Code>"
        f"<AWSAccessKeyId>{QUOTED}</AWSAccessKeyId></Error>\n\nDebug source:\nGeneric {{ {QUOTED} }}"
    )


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (exceptions.GenericError(answer(403, "InvalidAccessKeyId")), "credentials", "AWS_SECRET_ACCESS_KEY"),
        (exceptions.PermissionDeniedError(answer(403, "SignatureDoesNotMatch")), "credentials", "anonymous"),
        (exceptions.UnauthenticatedError(answer(401, "")), "credentials", "(401)"),
        (exceptions.PermissionDeniedError(answer(403, "AccessDenied")), "denied", "(403, AccessDenied)"),
        (exceptions.GenericError(answer(404, "NoSuchBucket")), "missing", "object_store.endpoint"),
        (FileNotFoundError(answer(404, "NoSuchKey")), "changed", "gone"),
        (exceptions.PreconditionError(answer(412, "PreconditionFailed")), "changed", "changed"),
        (exceptions.GenericError(answer(500, "InternalError")), "other", "(500, InternalError)"),
        (TimeoutError(QUOTED), "timeout", "object_store.timeout"),
        (exceptions.GenericError(f"error sending request {QUOTED}"), "unreachable", "object_store.endpoint"),
        (exceptions.GenericError(f"operation timed out {QUOTED}"), "timeout", "object_store.timeout"),
        (
            exceptions.GenericError(
                f"Error performing PUT http://169.254.169.254/latest/api/token in 1ms - {QUOTED}"
            ),
            "credentials",
            "could be had",
        ),
        (
            exceptions.GenericError(
                "Error performing GET http://127.0.0.1:1/models/oauth2/token in 1ms - error sending request"
            ),
            "unreachable",
            "cannot be reached",
        ),
        (exceptions.GenericError(QUOTED), "other", "GenericError"),
        (ValueError(QUOTED), "other", "ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_is_told_in_words_of_ours(error: Exception, reason: str, words: str) -> None:
    fault = told(URL, error)

    assert fault.reason == reason
    assert fault.reason in REASONS
    assert words in fault.message
    assert str(URL) in fault.message
    assert QUOTED not in fault.message


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_provider_has_its_own_credentials_named(scheme: str) -> None:
    message = told(ObjectUrl(scheme, "models", ""), exceptions.UnauthenticatedError("")).message

    assert {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme] in message


def test_a_key_that_the_library_does_not_list_is_named() -> None:
    error = exceptions.InvalidPathError('Error parsing Path "a/m/../x": Encountered illegal ".."')
    fault = told(URL, error)

    assert isinstance(fault, UnsafeKey)
    assert "'a/m/../x'" in fault.message
