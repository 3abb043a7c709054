"""The short way to AWS: signed as botocore signs, and never the reason for a failure."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

import chassis.aws as aws_module
from chassis.aws import open_clients
from chassis.hot_calls import Signer

TABLE = "bookstore-ledger"


@pytest.mark.parametrize("token", [None, "a-session-token"])
def test_signature_is_the_one_that_botocore_makes(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 21, 7, 8, 9, tzinfo=UTC)
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI", token)
    body = b'{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/1/q"}'
    request = AWSRequest(
        method="POST",
        url="https://sqs.eu-central-1.amazonaws.com/",
        data=body,
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.ReceiveMessage",
        },
    )
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)
    SigV4Auth(credentials, "sqs", "eu-central-1").add_auth(request)

    signer = Signer("eu-central-1", "sqs", "sqs.eu-central-1.amazonaws.com")
    for _ in range(2):  # The second time with the day's key remembered.
        ours = signer.headers(
            credentials, "AmazonSQS.ReceiveMessage", "application/x-amz-json-1.0", body, now
        )
        assert ours["authorization"] == request.headers["Authorization"]


@pytest.fixture
async def clients(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    async with AsyncExitStack() as stack:
        yield await open_clients(
            stack,
            *("events", "sqs", "dynamodb"),
            region="us-east-1",
            endpoint_url=aws.endpoint_url,
        )


async def test_hot_calls_answer_as_botocore_does(clients: Any, aws: Any, queue: Any) -> None:
    entry = {
        "EventBusName": "bookstore",
        "Source": "bookstore.test",
        "DetailType": "Nothing",
        "Detail": "{}",
    }
    put = await clients["events"].put_events(Entries=[entry])
    assert put["Entries"][0]["EventId"]
    await clients["sqs"].send_message(QueueUrl=queue.url, MessageBody="hello")
    arguments = {
        "QueueUrl": queue.url,
        "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 0,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
    }
    short = (await clients["sqs"].receive_message(**arguments))["Messages"][0]
    long = (await aws.sqs.receive_message(**arguments))["Messages"][0]
    assert short["Body"] == long["Body"] == "hello"
    assert short.keys() == long.keys()
    assert short["Attributes"].keys() == long["Attributes"].keys()
    deleted = await clients["sqs"].delete_message_batch(
        QueueUrl=queue.url, Entries=[{"Id": "0", "ReceiptHandle": long["ReceiptHandle"]}]
    )
    assert [each["Id"] for each in deleted["Successful"]] == ["0"]


async def test_refused_hot_call_raises_what_botocore_raises(clients: Any) -> None:
    sqs = clients["sqs"]
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        await sqs.receive_message(QueueUrl="http://127.0.0.1:1/000000000000/nowhere")


async def test_duplicate_insert_reads_the_same_both_ways(
    clients: Any, aws: Any, scope: str
) -> None:
    statement = {
        "Statement": f"INSERT INTO \"{TABLE}\" VALUE {{'pk': ?, 'owner': ?}}",
        "Parameters": [{"S": scope}, {"S": "me"}],
    }
    first = await clients["dynamodb"].batch_execute_statement(Statements=[statement])
    assert "Error" not in first["Responses"][0]
    short = await clients["dynamodb"].batch_execute_statement(Statements=[statement])
    long = await aws.dynamodb.batch_execute_statement(Statements=[statement])
    assert short["Responses"][0]["Error"]["Code"] == long["Responses"][0]["Error"]["Code"]


async def test_traced_processes_take_the_long_way(aws: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    async with AsyncExitStack() as stack:
        opened = await open_clients(
            stack,
            "sqs",
            region="us-east-1",
            endpoint_url=aws.endpoint_url,
            short_way=False,
        )
        assert not isinstance(opened["sqs"], aws_module.HotCalls)
