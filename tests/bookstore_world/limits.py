"""What the world in memory leaves out: no run of it says anything about these.

Guarantee: none of its own.
"""

LIMITS = (
    "The in-memory database interprets the SQL statements that the services use. One suite of "
    "contracts and random statements holds it against PostgreSQL; what neither tries may differ. "
    "Every other statement is refused, not guessed at.",
    "Isolation is READ COMMITTED with row locks and unique keys, as the services use it; there "
    "are no other isolation levels, no replicas and no failover that loses a commit.",
    "The in-memory bus, queues and tables, and the gateway behind its simulator, behave as their "
    "documentation says; AWS and Stripe themselves were not asked.",
    "Each process is one asyncio loop on one thread: tasks interleave only where they wait, and "
    "no two processes run at the very same moment.",
    "There are no disks, no memory limits, no file descriptors and no TCP: those are left to the "
    "runs against real processes.",
    "Networks break for one operation at a time: there is no partition that lasts for one "
    "connection while others work, and no slow link.",
    "There is one gateway, one bus and one region, and one process of each role, but for the "
    "scenario 'crowd', which has two workers a service.",
    "An operation takes 1 to 9 ms, drawn by the seed: orders of events that other latencies "
    "would bring about are tried only as far as faults bring them about.",
    "A fault that lasts, lasts 200 s: longer than any deadline, lease and visibility, and never "
    "close to one of them.",
    "DynamoDB never deletes what has expired, as it may for days; queues keep messages for ever, "
    "so retention and its alarms are not tried.",
    "Clocks are wrong by a constant in the scenario 'skewed' alone; none steps backwards during "
    "a run.",
    "Rate limits and quotas over time (throttling, messages in flight, gateway limits) are not "
    "modelled; sizes of batches and entries are.",
    "Of reads, which change nothing, only the first two of a kind are hit, in the scenario "
    "'reads' alone.",
    "Pairs and triples are made of representatives: where faults leave everything outside of the "
    "process alike, one stands for all (faults.explore.DEEP). Singles try every one.",
    "With reconciliation on, pairs are tried only where one of the faults is long, or both hit "
    "reconciliation itself (Course.is_worth); triples are a sample.",
    "Pairs are tried for the sagas themselves; the other scenarios are hit once.",
    "That customers hear of each outcome is looked at up to the bus; the mails have a world of "
    "their own (mail_world).",
    "Catalog browsing, imports, caches, live views and the deployment are not part of this world.",
)
