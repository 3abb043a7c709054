"""Dead letters on a real queue: seen with their reasons, and sent back whole."""

from typing import Any

import orjson

from messaging.dead_letters import look, redrive


async def put_letter(aws: Any, url: str, subject: str, code: str | None) -> str:
    body = orjson.dumps({"detail": {"type": "ReserveStock", "subject": subject}}).decode()
    attributes = {}
    if code is not None:
        attributes = {
            "reason_code": {"DataType": "String", "StringValue": code},
            "reason": {"DataType": "String", "StringValue": f"because of {code}"},
        }
    await aws.sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
    return body


async def test_letters_are_shown_with_their_reasons(aws: Any, queue: Any) -> None:
    await put_letter(aws, queue.dead_letter_url, "a", "contract_violation")
    await put_letter(aws, queue.dead_letter_url, "b", None)
    await aws.sqs.send_message(QueueUrl=queue.dead_letter_url, MessageBody="no envelope")
    letters = {letter.subject: letter for letter in await look(aws.sqs, queue.dead_letter_url)}
    assert (letters["a"].type, letters["a"].reason_code) == ("ReserveStock", "contract_violation")
    assert letters["a"].reason == "because of contract_violation"
    assert letters["b"].reason_code == "receives_exhausted"
    assert letters[""].type == "(not an envelope)"


async def test_redrive_sends_back_what_was_asked_for_and_keeps_the_rest(
    aws: Any, queue: Any
) -> None:
    wanted = [
        await put_letter(aws, queue.dead_letter_url, str(n), "contract_violation")
        for n in range(12)
    ]
    await put_letter(aws, queue.dead_letter_url, "other", "malformed")
    moved = await redrive(
        aws.sqs, queue.dead_letter_url, queue.url, reason_code="contract_violation"
    )
    assert moved == 12
    back: list[str] = []
    while len(back) < 12:
        answer = await aws.sqs.receive_message(
            QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=5
        )
        back += [message["Body"] for message in answer["Messages"]]
    assert sorted(back) == sorted(wanted)
    depth = await aws.sqs.get_queue_attributes(
        QueueUrl=queue.dead_letter_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ],
    )
    assert sum(map(int, depth["Attributes"].values())) == 1
