"""`python -m catalog_service web|worker|all|migrate`."""

from catalog_service.app import SERVICE
from chassis import main

main(SERVICE)
