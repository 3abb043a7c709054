"""What the mail world leaves out: no run of it says anything about these.

Guarantee: none of its own.
"""

LIMITS = (
    "A request that reaches SES only after its mail's lease is over (60 s) may overtake a later "
    "mail: SES takes no token by which it could be refused. Mails are late by 40 s here, within "
    "the lease; a process that stands still between its last look at the clock and the first byte "
    "gives the call up, because its own time-out (13 s) comes first.",
    "The in-memory DynamoDB knows the calls and expressions that services use, and refuses all "
    "others; one suite holds it against the emulator. Pages of a query end by their limit alone, "
    "transactions collide only where a fault says so, and nothing expires.",
    "SES takes or refuses for now. It never refuses a mail for good, and no bounce or complaint "
    "comes back: suppressed addresses, unsubscribing and preferences are left to the service's "
    "own tests, and so is its web role.",
    "There is one customer with one order, one or two workers with true clocks, and 14 mails a "
    "second are never reached.",
    "A mail without a contact waits for half an hour instead of a day.",
    "Events come from a script, in an order of its own: that the services tell them in the order "
    "in which they come about is what the world of the sagas shows. The bus loses nothing.",
    "A service without SQL has no outbox: a bus that forgets everything is not tried here.",
    "Pairs are tried in three of the courses, and made of representatives (faults.explore.DEEP).",
    "Starting up is not hit: it is the same as in the world of the sagas.",
)
