"""The kinds of faults that a run is made of."""

from chaos.fault import Fault
from chaos.gateway_faults import GatewayDrops, GatewayErrors, GatewayStalls, WebhookDisorder
from chaos.network_faults import (
    CutInMessage,
    DeadWay,
    ForgottenConnections,
    HalfCloses,
    LostCommitReply,
    Resets,
    SlowWay,
)
from chaos.process_faults import (
    ClockStep,
    EmulatorAmnesia,
    Freeze,
    FreezeAtBarrier,
    Kill,
    KillAtBarrier,
    OldBesideNew,
    PostgresCrash,
    RedisFlush,
    RedisKill,
    RollingRestart,
)

KINDS: tuple[type[Fault], ...] = (
    KillAtBarrier,
    Kill,
    Freeze,
    FreezeAtBarrier,
    RollingRestart,
    OldBesideNew,
    ClockStep,
    PostgresCrash,
    EmulatorAmnesia,
    RedisFlush,
    RedisKill,
    LostCommitReply,
    CutInMessage,
    DeadWay,
    ForgottenConnections,
    SlowWay,
    Resets,
    HalfCloses,
    GatewayStalls,
    GatewayDrops,
    GatewayErrors,
    WebhookDisorder,
)
