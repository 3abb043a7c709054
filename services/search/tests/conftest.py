"""A DynamoDB table of a test's own, with the keys of the topology's."""

import uuid
from typing import Any

import pytest


@pytest.fixture
async def table(aws: Any) -> str:
    name = f"test-{uuid.uuid4().hex}"
    await aws.dynamodb.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name
