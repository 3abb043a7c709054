"""`python -m search_service web|worker|all|reindex`."""

from chassis import main
from search_service.app import SERVICE

main(SERVICE)
