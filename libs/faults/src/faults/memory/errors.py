"""What the in-memory database reports, in the classes that the product sees from the real one.

Guarantee: `orig.sqlstate` is PostgreSQL's code for it (Appendix A); a lost connection says so by
`connection_invalidated`.
"""

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError


def broken(
    kind: type[asyncpg.IntegrityConstraintViolationError], table: str, constraint: str
) -> IntegrityError:
    """A row that a constraint refuses."""
    orig = kind(f'a row of "{table}" violates constraint "{constraint}"')
    orig.table_name, orig.constraint_name = table, constraint
    return IntegrityError("", None, orig, hide_parameters=True)


def refused(kind: type[asyncpg.PostgresError], message: str) -> DBAPIError:
    """A statement that the server refuses for any other reason."""
    return DBAPIError("", None, kind(message), hide_parameters=True)


def unfit(message: str) -> DBAPIError:
    """A value that the driver cannot turn into the parameter's type."""
    return DBAPIError("", None, asyncpg.DataError(message), hide_parameters=True)


def lost(what: str, reason: str) -> DBAPIError:
    """A connection that broke while `what` was under way: nobody knows whether it happened."""
    orig = asyncpg.ConnectionDoesNotExistError(
        f"connection was closed in the middle of operation: {reason}"
    )
    return DBAPIError(what, None, orig, hide_parameters=True, connection_invalidated=True)
