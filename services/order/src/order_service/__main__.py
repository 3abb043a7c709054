"""`python -m order_service web|worker|all|migrate`."""

from chassis import main
from order_service.app import SERVICE

main(SERVICE)
